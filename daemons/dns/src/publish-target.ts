// One look at one place that records are published to: compares what is there with what is wanted, and writes only when the
// specification changed or somebody else's change has to be taken back. A failover needs nothing of this: the records themselves
// follow the lease.

import { createHash, randomUUID } from 'node:crypto';
import type { Claim, Mark, Note, PdnsVersion, RecordKey, Rrset } from '@continuum/core';
import { claimsOf, markKey, markRrset, ownerKey, ownerRrset, pdnsVersion, readMark, readOwner, ruleOn } from '@continuum/core';
import type { Failure, Result } from '@continuum/ports';
import { failure } from '@continuum/ports';
import type { PdmPublisher } from '@continuum/adapters/pdm/publisher';
import { textsAt, whyUnanswered } from '@continuum/adapters/powerdns/answers';
import type { Authority } from '@continuum/adapters/powerdns/answers';
import type { GuardedPublisher, Wanted } from '@continuum/adapters/powerdns/guarded-publisher';
import type { PowerdnsPublisher } from '@continuum/adapters/powerdns/publisher';
import type { NamesSpec, Records } from './publish-spec.ts';
import type { Place, Published, PublishMemory, Sent } from './publish-memory.ts';

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
    const { mark, notes } = made.value;
    const known = memory.of(name);
    const place = placeOf(known, spec);
    const rrsets = publication(spec, made.value);
    const unwanted = unwantedIn(place, rrsets);
    const compared = await publisher.compare(spec.zone, rrsets, signal, unwanted);
    if (!compared.ok) return failed(compared.failure, notes);
    const { lacking, stray, contents } = compared.value;
    const found = readMark(contents(markKey(spec.name, spec.zone)));
    const agreed = agreedOn(place, spec);
    const ruling = ruleOn(mark, found, agreed);
    if (ruling.kind === 'superseded' || ruling.kind === 'contested') return { notes, drift: [], outcome: ruling };
    const ownerOf = (one: string): string | null => readOwner(contents(ownerKey(one)));
    const claims = claimsOf(namesOf(made.value.rrsets), ownerOf, [spec.name, place.specification]);
    if (claims.length > 0) return failed(claimed(claims), notes);
    const retired = withoutClaimed(unwanted, ownerOf, [spec.name, place.specification]);
    const differs = [...lacking, ...stray.filter((one) => !unwanted.includes(one.name) || retired.includes(one.name))].map(keyText);
    const drift = ruling.kind === 'correct' || (found === null && sameMark(agreed, mark)) ? differs : [];
    const wanted: Wanted = { rrsets, retired, addresses: spec.addresses };
    if (differs.length === 0 && settled) {
      const silent = await unanswered(wanted);
      return silent === null ? { notes, drift, outcome: { kind: 'unchanged' } } : failed(silent, notes);
    }
    const kept = remember(memory, name, withPlace(known, { ...place, names: [...new Set([...place.names, ...namesOf(rrsets)])] }));
    if (kept !== null) return failed(kept, notes, drift);
    const published = await guarded.publish(spec.zone, wanted, signal);
    settled = false;
    if (!published.ok && !WRITTEN.has(published.failure.code)) return failed(published.failure, notes, drift);
    const lost = remember(memory, name, withPlace(known, placed(spec, mark, rrsets)));
    if (!published.ok) return failed(published.failure, notes, drift);
    // What was not written was not asked for either.
    const problem = lost ?? (published.value.written ? null : await unanswered(wanted)) ?? (await leaveOthers(memory, name, spec.zone, (other) => leave(other, spec, mark, signal)));
    settled = problem === null;
    return problem === null ? { notes, drift, outcome: { kind: published.value.written ? 'written' : 'unchanged' } } : failed(problem, notes, drift);
  }

  async function unanswered(wanted: Wanted): Promise<Failure | null> {
    const silent = await guarded.unanswered(wanted);
    return silent === null ? null : failure('CTM_DNS_NOT_ANSWERED', silent).failure;
  }

  async function leave({ zone, specification, names }: Place, spec: NamesSpec, mark: Mark, signal: AbortSignal): Promise<Failure | null> {
    const compared = await publisher.compare(zone, [], signal, names);
    if (!compared.ok) return compared.failure.code === 'CTM_DNS_ZONE_MISSING' ? null : compared.failure;
    const { contents } = compared.value;
    if (ruleOn(mark, readMark(contents(markKey(specification, zone))), null).kind === 'superseded') return null;
    const retired = withoutClaimed(names, (one) => readOwner(contents(ownerKey(one))), [spec.name, specification]);
    const gone = await guarded.publish(zone, { rrsets: [], retired, addresses: [] }, signal);
    return gone.ok ? null : gone.failure;
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
  /** By the wall clock: it has to outlive a restart. */
  readonly nowMs: () => number;
};

/**
 * Through a manager. It cannot be read, so what is there is judged by what its name servers answer, if any are named; the marks
 * among the answers say whose records they are. What is in order is committed again under the same key, which is no write.
 */
export function createManagerTarget(options: ManagerTarget): Target {
  const { name, publisher, version, authorities, memory } = options;
  let writes = 0;

  async function commit(spec: NamesSpec, mark: Mark, rrsets: readonly Rrset[], change: Sent, signal: AbortSignal): Promise<Look['outcome']> {
    const known = memory.of(name);
    const place = placeOf(known, spec);
    const kept = remember(memory, name, { ...withPlace(known, { ...place, names: [...new Set([...place.names, ...namesOf(rrsets)])] }), change });
    if (kept !== null) return { kind: 'failed', failure: kept };
    const unwanted = unwantedIn(place, rrsets);
    const retired = withoutClaimed(unwanted, await askOwners(authorities, unwanted), [spec.name, place.specification]);
    const committed = await publisher.commit(spec.zone, { key: change.key, rrsets, retired }, signal);
    if (!committed.ok) return { kind: 'failed', failure: committed.failure };
    const { written } = committed.value;
    if (written) writes += 1;
    // Another try of a change whose answer was lost is told that it is there already.
    const answeredAtMs = written ? options.nowMs() : (change.answeredAtMs ?? options.nowMs());
    const lost = remember(memory, name, { ...withPlace(known, placed(spec, mark, rrsets)), change: { ...change, answeredAtMs } });
    return lost === null ? { kind: written ? 'written' : 'unchanged' } : { kind: 'failed', failure: lost };
  }

  async function look(spec: NamesSpec, signal: AbortSignal): Promise<Look> {
    const made = rendered(spec, version);
    if (!made.ok) return failed(made.failure);
    const { mark, notes } = made.value;
    const rrsets = publication(spec, made.value);
    const digest = hashOf(JSON.stringify(rrsets));
    const known = memory.of(name);
    const place = placeOf(known, spec);
    const agreed = agreedOn(place, spec);
    const sent = known.change?.digest === digest ? known.change : null;
    const claims = claimsOf(namesOf(made.value.rrsets), await askOwners(authorities, namesOf(made.value.rrsets)), [spec.name, place.specification]);
    const seen = await askAuthorities(authorities, spec, made.value);
    const wrong = seen?.wrong ?? null;
    if (wrong !== null && isSettling(sent)) return failed(failure('CTM_DNS_NOT_ANSWERED', `committed, and ${wrong}`).failure, notes);
    const ruling = seen === null ? null : ruleOn(mark, seen.mark, agreed);
    if (ruling?.kind === 'superseded' || ruling?.kind === 'contested') return { notes, drift: [], outcome: ruling };
    if (claims.length > 0) return failed(claimed(claims), notes);
    const drift = wrong !== null && sameMark(agreed, mark) ? [wrong] : [];
    // What drifted needs another key: under the old one the manager would say that it was done, and do nothing.
    const change = sent !== null && drift.length === 0 ? sent : { digest, key: randomUUID(), answeredAtMs: null };
    const outcome = await commit(spec, mark, rrsets, change, signal);
    if (outcome.kind === 'failed' || wrong !== null) return { notes, drift, outcome };
    const problem = await leaveOthers(memory, name, spec.zone, (other) => leave(other, spec, change, signal));
    return problem === null ? { notes, drift, outcome } : failed(problem, notes, drift);
  }

  function isSettling(sent: Sent | null): boolean {
    if (sent === null || sent.answeredAtMs === null) return false;
    const sinceMs = options.nowMs() - sent.answeredAtMs;
    return sinceMs >= 0 && sinceMs < options.settleMs;
  }

  async function leave({ zone, specification, names }: Place, spec: NamesSpec, { key }: Sent, signal: AbortSignal): Promise<Failure | null> {
    const retired = withoutClaimed(names, await askOwners(authorities, names), [spec.name, specification]);
    const committed = await publisher.commit(zone, { key: hashOf(`${key} ${zone}`), rrsets: [], retired }, signal);
    if (committed.ok && committed.value.written) writes += 1;
    return committed.ok || committed.failure.code === 'CTM_PDM_ZONE_MISSING' ? null : committed.failure;
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

/** The records, and beside each name whose it is, and the mark. */
function publication(spec: NamesSpec, { rrsets, mark }: Records): Rrset[] {
  return [...rrsets, ...namesOf(rrsets).map((name) => ownerRrset(name, spec.name)), markRrset(markKey(spec.name, spec.zone), mark)];
}

/** Of each name by the first authority that answers. One that did not is not waited for again. */
async function askOwners(authorities: readonly Authority[], names: readonly string[]): Promise<(name: string) => string | null> {
  const owners = new Map<string, string | null>();
  const asked = [...authorities];
  for (const name of names) {
    for (let [authority] = asked; authority !== undefined && !owners.has(name); [authority] = asked) {
      const texts = await textsAt(authority, ownerKey(name).name, QUERY_TIMEOUT_MS);
      if (texts === null) asked.shift();
      else owners.set(name, readOwner(texts));
    }
  }
  return (name) => owners.get(name) ?? null;
}

/** What another specification has by now stays, and so does the mark that says so. */
function withoutClaimed(names: readonly string[], ownerOf: (name: string) => string | null, own: readonly (string | null)[]): string[] {
  const theirs = new Set(claimsOf(names, ownerOf, own).flatMap(({ name }) => [name, ownerKey(name).name]));
  return names.filter((name) => !theirs.has(name));
}

function claimed(claims: readonly Claim[]): Failure {
  const told = claims.map(({ name, specification }) => `${name} belongs to the specification ${specification} (TXT ${ownerKey(name).name})`).join('; ');
  return failure('CTM_DNS_NAME_CLAIMED', `${told}. Nothing was written: name it in one specification only. Where the other one is no more, remove that TXT record`).failure;
}

/** Takes away what an earlier specification published to other zones, once this one's own is in place. */
async function leaveOthers(memory: PublishMemory, target: string, zone: string, leave: (place: Place) => Promise<Failure | null>): Promise<Failure | null> {
  for (const place of memory.of(target).places.filter((one) => one.zone !== zone)) {
    const problem = await leave(place);
    if (problem !== null) return failure(problem.code, `zone ${place.zone} still answers what an earlier specification published there: ${problem.message}`, problem.cause).failure;
    const known = memory.of(target);
    const lost = remember(memory, target, { ...known, places: known.places.filter((one) => one.zone !== place.zone) });
    if (lost !== null) return lost;
  }
  return null;
}

const namesOf = (rrsets: readonly Rrset[]): string[] => [...new Set(rrsets.map(({ name }) => name))];
const hashOf = (text: string): string => createHash('sha256').update(text).digest('base64url');

function placeOf({ places }: Published, { name, zone }: NamesSpec): Place {
  return places.find((one) => one.zone === zone) ?? { zone, specification: name, agreed: null, names: [] };
}

/** A mark of the specification's earlier name says nothing of the one that it has now. */
const agreedOn = ({ specification, agreed }: Place, { name }: NamesSpec): Mark | null => (specification === name ? agreed : null);

const placed = ({ name, zone }: NamesSpec, agreed: Mark, rrsets: readonly Rrset[]): Place => ({ zone, specification: name, agreed, names: namesOf(rrsets) });

const withPlace = (known: Published, place: Place): Published => ({ ...known, places: [...known.places.filter(({ zone }) => zone !== place.zone), place] });

function unwantedIn({ names }: Place, rrsets: readonly Rrset[]): string[] {
  const wanted = new Set(namesOf(rrsets));
  return names.filter((name) => !wanted.has(name));
}

const sameMark = (one: Mark | null, other: Mark | null): boolean => one?.generation === other?.generation && one?.digest === other?.digest;

const failed = (problem: Failure, notes: readonly Note[] = [], drift: readonly string[] = []): Look => ({ notes, drift, outcome: { kind: 'failed', failure: problem } });
