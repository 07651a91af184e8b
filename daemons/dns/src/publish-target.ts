// One look at one place that records are published to: compares what is there with what is wanted, and writes only when the
// specification changed or somebody else's change has to be taken back. A failover needs nothing of this: the records themselves
// follow the lease.

import { randomUUID } from 'node:crypto';
import type { Mark, Note, PdnsVersion, RecordKey } from '@continuum/core';
import { markKey, markRrset, pdnsVersion, readMark, ruleOn } from '@continuum/core';
import type { Failure, Result } from '@continuum/ports';
import { failure } from '@continuum/ports';
import type { PdmPublisher } from '@continuum/adapters/pdm/publisher';
import { textsAt, whyUnanswered } from '@continuum/adapters/powerdns/answers';
import type { Authority } from '@continuum/adapters/powerdns/answers';
import type { GuardedPublisher, Wanted } from '@continuum/adapters/powerdns/guarded-publisher';
import type { PowerdnsPublisher } from '@continuum/adapters/powerdns/publisher';
import type { NamesSpec, Records } from './publish-spec.ts';
import type { Published, PublishMemory } from './publish-memory.ts';

export type Look = {
  readonly notes: readonly Note[];
  /** What somebody else changed, as `name type`; empty when nothing was. */
  readonly drift: readonly string[];
  readonly outcome:
    | { readonly kind: 'unchanged' | 'written' }
    | { readonly kind: 'superseded' | 'contested'; readonly by: Mark }
    | { readonly kind: 'failed'; readonly failure: Failure };
};

export type Target = {
  readonly name: string;
  /** Never throws for what the network or the other side does. */
  readonly look: (spec: NamesSpec, signal: AbortSignal) => Promise<Look>;
  /** Changes that were sent there. */
  readonly writes: () => number;
};

/** They were written, and something about them is not as it should be. */
const WRITTEN = new Set(['CTM_DNS_NOT_ANSWERED', 'CTM_DNS_NOT_FLUSHED']);
const QUERY_TIMEOUT_MS = 2_000;
const keyText = ({ name, type }: RecordKey): string => `${name} ${type}`;

export type PowerdnsTarget = { readonly name: string; readonly publisher: PowerdnsPublisher; readonly guarded: GuardedPublisher; readonly memory: PublishMemory };

export function createPowerdnsTarget({ name, publisher, guarded, memory }: PowerdnsTarget): Target {
  /** The last look found everything in place, the other servers included. */
  let settled = false;

  async function look(spec: NamesSpec, signal: AbortSignal): Promise<Look> {
    const running = await publisher.version(signal);
    if (!running.ok) return failed(running.failure);
    const version = pdnsVersion(running.value);
    if (version === null) return failed(failure('CTM_DNS_VERSION_UNKNOWN', `PowerDNS ${running.value} was not looked at: it might ignore what it is told without a word`).failure);
    const made = rendered(spec, version);
    if (!made.ok) return failed(made.failure);
    const { rrsets, mark, notes } = made.value;
    const known = memory.of(name);
    const at = markKey(spec.name, spec.zone);
    const wanted: Wanted = { rrsets: [...rrsets, markRrset(at, mark)], retired: retiredNames(known, spec, made.value), addresses: spec.addresses };
    const compared = await publisher.compare(spec.zone, wanted.rrsets, signal, wanted.retired);
    if (!compared.ok) return failed(compared.failure, notes);
    const { lacking, stray, contents } = compared.value;
    const found = readMark(contents(at));
    const ruling = ruleOn(mark, found, known.agreed);
    if (ruling.kind === 'superseded' || ruling.kind === 'contested') return { notes, drift: [], outcome: ruling };
    const differs = [...lacking, ...stray].map(keyText);
    const drift = ruling.kind === 'correct' || (found === null && sameMark(known.agreed, mark)) ? differs : [];
    if (differs.length === 0 && settled) {
      const silent = await guarded.unanswered(wanted);
      return silent === null ? { notes, drift, outcome: { kind: 'unchanged' } } : failed(failure('CTM_DNS_NOT_ANSWERED', silent).failure, notes);
    }
    const owned = namesOf(made.value);
    const kept = remember(memory, name, { ...known, names: [...new Set([...known.names, ...owned])] });
    if (kept !== null) return failed(kept, notes, drift);
    const published = await guarded.publish(spec.zone, wanted, signal);
    settled = published.ok;
    if (!published.ok && !WRITTEN.has(published.failure.code)) return failed(published.failure, notes, drift);
    const lost = remember(memory, name, { agreed: mark, names: owned, change: null });
    if (!published.ok) return failed(published.failure, notes, drift);
    return lost === null ? { notes, drift, outcome: { kind: published.value.written ? 'written' : 'unchanged' } } : failed(lost, notes, drift);
  }

  return { name, look, writes: publisher.writes };
}

export type ManagerTarget = {
  readonly name: string;
  readonly publisher: PdmPublisher;
  readonly version: PdnsVersion;
  readonly authorities: readonly Authority[];
  readonly memory: PublishMemory;
  /** A change is given so long to be answered before it counts as undone by somebody. */
  readonly settleMs: number;
  readonly nowMs: () => number;
};

/**
 * Through a manager. It cannot be read, so what is there is judged by what its name servers answer, if any are named; the mark
 * among the answers says whose records they are. What is in order is committed again under the same key, which is no write.
 */
export function createManagerTarget(options: ManagerTarget): Target {
  const { name, publisher, version, authorities, memory } = options;
  let [writes, sentMs] = [0, Number.NEGATIVE_INFINITY];

  async function commit(spec: NamesSpec, records: Records, key: string, known: Published, signal: AbortSignal): Promise<Look['outcome']> {
    const { rrsets, mark } = records;
    const owned = namesOf(records);
    const kept = remember(memory, name, { ...known, names: [...new Set([...known.names, ...owned])], change: { digest: mark.digest, key } });
    if (kept !== null) return { kind: 'failed', failure: kept };
    const at = markKey(spec.name, spec.zone);
    const committed = await publisher.commit(spec.zone, { key, rrsets: [...rrsets, markRrset(at, mark)], retired: retiredNames(known, spec, records) }, signal);
    if (!committed.ok) return { kind: 'failed', failure: committed.failure };
    if (committed.value.written) {
      writes += 1;
      sentMs = options.nowMs();
    }
    const lost = remember(memory, name, { agreed: mark, names: owned, change: { digest: mark.digest, key } });
    return lost === null ? { kind: committed.value.written ? 'written' : 'unchanged' } : { kind: 'failed', failure: lost };
  }

  async function look(spec: NamesSpec, signal: AbortSignal): Promise<Look> {
    const made = rendered(spec, version);
    if (!made.ok) return failed(made.failure);
    const records = made.value;
    const { mark, notes } = records;
    const known = memory.of(name);
    const seen = await askAuthorities(authorities, spec, records);
    const wrong = seen?.wrong ?? null;
    if (wrong !== null && options.nowMs() - sentMs < options.settleMs) return failed(failure('CTM_DNS_NOT_ANSWERED', `committed, and ${wrong}`).failure, notes);
    const ruling = seen === null ? null : ruleOn(mark, seen.mark, known.agreed);
    if (ruling?.kind === 'superseded' || ruling?.kind === 'contested') return { notes, drift: [], outcome: ruling };
    const drift = wrong !== null && sameMark(known.agreed, mark) ? [wrong] : [];
    // What drifted needs another key: under the old one the manager would say that it was done, and do nothing.
    const key = known.change?.digest === mark.digest && drift.length === 0 ? known.change.key : randomUUID();
    return { notes, drift, outcome: await commit(spec, records, key, known, signal) };
  }

  return { name, look, writes: () => writes };
}

type Seen = { readonly mark: Mark | null; readonly wrong: string | null };

/** The first one that answers and is not right decides; null when nobody answers. */
async function askAuthorities(authorities: readonly Authority[], spec: NamesSpec, { rrsets, mark }: Records): Promise<Seen | null> {
  const { name } = markKey(spec.name, spec.zone);
  let right: Seen | null = null;
  for (const authority of authorities) {
    const texts = await textsAt(authority, name, QUERY_TIMEOUT_MS);
    if (texts === null) continue;
    const seen = readMark(texts);
    if (!sameMark(seen, mark)) return { mark: seen, wrong: `${authority.address} does not answer this publication at ${name}` };
    for (const rrset of rrsets) {
      const wrong = await whyUnanswered(authority, rrset, spec.addresses, QUERY_TIMEOUT_MS);
      if (wrong !== null) return { mark, wrong: `${rrset.name}: ${wrong}` };
    }
    right = { mark, wrong: null };
  }
  return right;
}

function rendered(spec: NamesSpec, version: PdnsVersion): Result<Records> {
  const made = spec.render(version);
  if (made.ok) return { ok: true, value: made.records };
  const problems = made.problems.map(({ field, value, fix }) => `${field} = ${value}: ${fix}`).join('; ');
  return failure('CTM_DNS_SPEC_REFUSED', `for PowerDNS ${version} this cannot be published: ${problems}`);
}

/** Null when it is durable. */
function remember(memory: PublishMemory, target: string, published: Published): Failure | null {
  if (JSON.stringify(memory.of(target)) === JSON.stringify(published)) return null;
  try {
    memory.save(target, published);
    return null;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return failure('CTM_DNS_STATE_UNWRITABLE', `what is published cannot be remembered: ${error.message}`, error).failure;
  }
}

const namesOf = ({ rrsets }: Records): string[] => [...new Set(rrsets.map(({ name }) => name))];

/** Of the same zone: what was published elsewhere is not this one's to remove. */
function retiredNames({ names }: Published, { zone }: NamesSpec, records: Records): string[] {
  const wanted = new Set(namesOf(records));
  return names.filter((name) => !wanted.has(name) && (name === `${zone}.` || name.endsWith(`.${zone}.`)));
}

const sameMark = (one: Mark | null, other: Mark | null): boolean => one?.generation === other?.generation && one?.digest === other?.digest;

const failed = (problem: Failure, notes: readonly Note[] = [], drift: readonly string[] = []): Look => ({ notes, drift, outcome: { kind: 'failed', failure: problem } });
