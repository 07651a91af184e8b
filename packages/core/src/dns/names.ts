// The names that one specification answers for: hosts of a zone, the zone's own name, and wildcards (RFC 4592).

import { ownerKey } from './publication.ts';
import { canonicalName, LABEL_LENGTH_MAX, NAME_LENGTH_MAX, problem } from './records.ts';
import type { DnsProblem } from './records.ts';

const NAMES_MAX = 64;
/** What is asked for under a wildcard. Somebody who has a host of this name cannot see whether the wildcard answers. */
const WILDCARD_LOOK = 'continuum-look';

/** The canonical owner name, wildcards included; null when it is none. */
export function ownerName(name: string): string | null {
  const wildcard = name.startsWith('*.');
  const rest = canonicalName(wildcard ? name.slice(2) : name);
  return rest === null || lengthOf(name) > NAME_LENGTH_MAX ? null : `${wildcard ? '*.' : ''}${rest}`;
}

/** What a client would ask for: the name, or a name that only the wildcard answers. */
export function lookedUpName(name: string): string {
  return name.startsWith('*.') ? `${WILDCARD_LOOK}${name.slice(1)}` : name;
}

/** `probed`: the regions' gateways are asked for one of the names, so that one must be there to ask for. */
export function namesProblems(zoneText: string, names: readonly string[], probed: boolean): DnsProblem[] {
  const zone = canonicalName(zoneText);
  const concrete = names.some((name) => canonicalName(name) !== null);
  return [
    ...(zone === null ? [problem('zone', zoneText, 'a domain name such as "app.example"')] : []),
    ...(names.length >= 1 && names.length <= NAMES_MAX ? [] : [problem('names', names.length, `from 1 to ${NAMES_MAX} names`)]),
    ...names.flatMap((name, index) => nameProblems(`names[${index}]`, name, zone)),
    ...repeated(names),
    ...(probed && !concrete ? [problem('names', names.join(' '), 'at least one name that is no wildcard: the probes ask for it')] : []),
  ];
}

function nameProblems(field: string, name: string, zone: string | null): DnsProblem[] {
  const owner = ownerName(name);
  if (owner === null) return [problem(field, name, fixOf(name))];
  const excess = ownerKey(owner).name.length - 1 - NAME_LENGTH_MAX;
  if (excess > 0) return [problem(field, name, `a name of at most ${owner.length - 1 - excess} characters: one that is longer still stands beside it, and says whose it is`)];
  return zone === null || owner === zone || owner.endsWith(`.${zone}`) ? [] : [problem(field, name, `a name in the zone ${zone}`)];
}

function fixOf(name: string): string {
  if (name.replace(/^\*\.(?=.)/, '').includes('*')) return 'the wildcard first and alone, as in "*.app.example"';
  if (lengthOf(name) > NAME_LENGTH_MAX) return `a name of at most ${NAME_LENGTH_MAX} characters, this one has ${lengthOf(name)}`;
  if (name.split('.').some((label) => label.length > LABEL_LENGTH_MAX)) return `at most ${LABEL_LENGTH_MAX} characters between two dots`;
  return 'a host name, perhaps with "*." before it';
}

function repeated(names: readonly string[]): DnsProblem[] {
  const seen = new Map<string, number>();
  return names.flatMap((name, index) => {
    const owner = ownerName(name);
    if (owner === null) return [];
    const first = seen.get(owner);
    if (first !== undefined) return [problem(`names[${index}]`, name, `each name once: names[${first}] is the same`)];
    seen.set(owner, index);
    return [];
  });
}

const lengthOf = (name: string): number => name.replace(/\.$/, '').length;
