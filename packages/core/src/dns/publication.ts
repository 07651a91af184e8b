// Whether a daemon may write what its specification says, when others write to the same name servers. The API of a name server has
// no compare-and-set, so who publishes leaves a mark beside the records: which generation of the specification, and which records
// came of it. Two daemons with the same specification agree on everything and correct each other's drift; two with different ones
// (a roll-out that is under way, a file that was forgotten) must not write in turns for ever. The rule:
//
//   a higher generation wins, whoever has it;
//   within one generation a daemon replaces only what it knows: what it has published or agreed with itself. Anything else was
//   published by somebody whose file is newer or wrong; a daemon cannot know which, so it leaves it and says so.
//
// Two specifications may not have one name: each would take the other's records for drift. So a second mark stands beside every
// name and says whose it is. Who comes first has it, until it takes the name out of its specification.

import type { Rrset } from './records.ts';

export type RecordKey = { readonly name: string; readonly type: string };

export type Mark = {
  readonly generation: number;
  /** Of the records, by a hash. */
  readonly digest: string;
};

export type Ruling =
  /** The same publication: whatever differs from it is drift. */
  | { readonly kind: 'correct' }
  /** Not there yet, or there is an older one. */
  | { readonly kind: 'publish' }
  /** Somebody published a newer generation. */
  | { readonly kind: 'superseded'; readonly by: Mark }
  /** Somebody published other records of the same generation. */
  | { readonly kind: 'contested'; readonly by: Mark };

/** A name that another specification has. */
export type Claim = { readonly name: string; readonly specification: string };

const MARK = /^"continuum generation=(\d{1,15}) digest=([A-Za-z0-9_-]{1,64})"$/;
const OWNER = /^"continuum specification=([a-z0-9-]{1,63})"$/;
const MARK_TTL_SECONDS = 60;

/** `found`: what is published now. `agreed`: what this daemon published or found to be its own last, null when it does not know. */
export function ruleOn(own: Mark, found: Mark | null, agreed: Mark | null): Ruling {
  if (found === null || found.generation < own.generation) return { kind: 'publish' };
  if (found.generation > own.generation) return { kind: 'superseded', by: found };
  if (found.digest === own.digest) return { kind: 'correct' };
  return agreed?.generation === found.generation && agreed.digest === found.digest ? { kind: 'publish' } : { kind: 'contested', by: found };
}

/** Where the mark of a specification stands. `name` is the specification's, one label. */
export function markKey(name: string, zone: string): RecordKey {
  return { name: `${name}._continuum.${zone.replace(/\.$/, '')}.`, type: 'TXT' };
}

export function markRrset(key: RecordKey, { generation, digest }: Mark): Rrset {
  return { name: key.name, type: 'TXT', ttlSeconds: MARK_TTL_SECONDS, records: [`"continuum generation=${generation} digest=${digest}"`] };
}

/** Null for no mark, several, or one that is none of ours. */
export function readMark(contents: readonly string[]): Mark | null {
  const [, generation, digest] = (contents.length === 1 ? MARK.exec(contents.join()) : null) ?? [];
  return generation === undefined || digest === undefined ? null : { generation: Number(generation), digest };
}

/** Where it stands which specification has a name: beside it, because through a manager one can only ask for what one knows. */
export function ownerKey(name: string): RecordKey {
  return { name: name.startsWith('*.') ? `_continuum-wildcard.${name.slice(2)}` : `_continuum.${name}`, type: 'TXT' };
}

export function ownerRrset(name: string, specification: string): Rrset {
  return { name: ownerKey(name).name, type: 'TXT', ttlSeconds: MARK_TTL_SECONDS, records: [`"continuum specification=${specification}"`] };
}

/** Null for no mark, several, or one that is none of ours. */
export function readOwner(contents: readonly string[]): string | null {
  return (contents.length === 1 ? OWNER.exec(contents.join())?.[1] : null) ?? null;
}

/** What others have of `names`. `own`: what this specification is called, and what it was called when it was last published. */
export function claimsOf(names: readonly string[], ownerOf: (name: string) => string | null, own: readonly (string | null)[]): Claim[] {
  return names.flatMap((name) => {
    const specification = ownerOf(name);
    return specification === null || own.includes(specification) ? [] : [{ name, specification }];
  });
}

/** A mark of either kind: it goes with the names that it is about. */
export function isMark(contents: readonly string[]): boolean {
  return readMark(contents) !== null || readOwner(contents) !== null;
}
