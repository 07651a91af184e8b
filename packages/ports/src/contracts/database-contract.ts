// What every `DatabasePort` must do, tried on a real primary and standby: nothing acknowledged is lost, the past is refused,
// every call ends in time and may be repeated.

import type { Test } from 'tap';
import { epoch, lsn, regionId } from '@continuum/core';
import type { DatabaseObservation, DemotionToken, RegionId } from '@continuum/core';
import type { DatabasePort } from '../database.ts';
import type { Result } from '../result.ts';
import { waitFor } from '../../../../test/rig/process.ts';

/** What an application sees of one member. */
export type DatabaseClient = {
  /** Writes one row and returns its id once the commit was acknowledged. */
  readonly write: () => Promise<string>;
  readonly ids: () => Promise<readonly string[]>;
};

export type DatabaseMember = {
  readonly database: DatabasePort;
  readonly address: { readonly region: RegionId; readonly host: string; readonly port: number };
  /** The port of a controller that was started again while the server went on. */
  readonly again: () => DatabasePort;
  readonly client: () => Promise<DatabaseClient>;
  /** SIGKILL to the whole server. */
  readonly kill: () => Promise<void>;
  /** Stops every process of the server without ending it; the function returned lets them go on. */
  readonly freeze: () => () => void;
};

export type DatabasePair = {
  /** Holds a fresh cluster that does not run. */
  readonly one: DatabaseMember;
  /** Holds nothing. */
  readonly two: DatabaseMember;
};

export type DatabaseSubject = {
  /** A new pair; the test's own teardown stops it. */
  readonly makePair: (t: Test) => Promise<DatabasePair>;
};

type Role = DatabaseObservation['role'];
type Scene = DatabasePair & { readonly t: Test; at: number };

const soon = (timeoutMs = 20_000): AbortSignal => AbortSignal.timeout(timeoutMs);
const code = (result: Result<unknown>): string => (result.ok ? 'ok' : result.failure.code);

function value<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`${result.failure.code} ${result.failure.message}`);
  return result.value;
}

const promote = (member: DatabaseMember, at: number, token: DemotionToken | null = null) =>
  member.database.promote({ epoch: epoch(at), region: member.address.region, token }, soon());
const demote = (member: DatabaseMember, at: number) => member.database.demote({ epoch: epoch(at) }, soon());
const rejoin = (member: DatabaseMember, source: DatabaseMember, at: number, preserve = false) =>
  member.database.rejoin({ epoch: epoch(at), source: source.address, preserve }, soon(60_000));
const synchronous = (member: DatabaseMember, at: number, ...standbys: readonly DatabaseMember[]) =>
  member.database.setSynchronous({ epoch: epoch(at), standbys: standbys.map((one) => one.address.region) }, soon());
const look = (member: DatabaseMember) => member.database.observe(soon(2_000));

export async function databaseContract(t: Test, subject: DatabaseSubject): Promise<void> {
  /** `one` is the primary at epoch 1, `two` its synchronous standby. */
  const scene = async (t: Test): Promise<Scene> => {
    const pair = await subject.makePair(t);
    value(await promote(pair.one, 1));
    value(await rejoin(pair.two, pair.one, 1));
    value(await synchronous(pair.one, 1, pair.two));
    return { ...pair, t, at: 1 };
  };
  await t.test('a life from an empty directory to a synchronous standby', async (t) => lifeOf(t, await subject.makePair(t)));
  await t.test('a primary killed while it writes: everything acknowledged is in the new one', async (t) => failover(await scene(t)));
  await t.test('a planned hand-over and back loses nothing and discards nothing', async (t) => handOver(await scene(t)));
  await t.test('a token that is not exactly this history is refused', async (t) => wrongTokens(await scene(t)));
  await t.test('a lost standby makes commits wait until they are told not to', async (t) => standbyLost(await scene(t)));
  await t.test('an epoch of the past is refused by every call, running or not', async (t) => staleEpochs(await scene(t)));
  await t.test('every call may be repeated', async (t) => repeats(await scene(t)));
  await t.test('what the register counts on is only started, never replaced', async (t) => preserved(await scene(t)));
  await t.test('a server that hangs is unknown, and no call outlives its signal', async (t) => frozen(await scene(t)));
}

async function lifeOf(t: Test, { one, two }: DatabasePair): Promise<void> {
  t.match(await look(one), { role: 'down', shape: 'primary', epoch: 0, recordedEpoch: null, standbys: [], synchronous: [], replayLsn: null });
  t.match(await look(two), { role: 'down', shape: 'empty', epoch: 0, systemIdentifier: null, timeline: null, lsn: null });
  t.equal(code(await promote(two, 1)), 'CTM_DATABASE_EMPTY', 'nothing can be promoted where nothing is');

  const { timeline } = value(await promote(one, 1));
  const primary = await look(one);
  t.match(primary, { role: 'primary', shape: 'primary', timeline, epoch: 1, synchronous: [], receiver: null, problem: null });
  const application = await one.client();
  const before = await application.write();

  t.equal(value(await rejoin(two, one, 1)).method, 'base-backup');
  const { host, port } = one.address;
  const standby = await until(two, 'standby');
  t.match(standby, { shape: 'standby', systemIdentifier: primary.systemIdentifier, receiver: { streaming: true, source: `${host}:${port}`, messageAgeMs: Number }, replayPaused: false, standbys: [] });
  await waitFor('the primary to see it stream', async () => (await look(one)).standbys.some((view) => view.region === two.address.region && view.state === 'streaming'));

  value(await synchronous(one, 1, two));
  t.match(await look(one), { synchronous: [two.address.region], standbys: [{ region: two.address.region, syncState: 'sync' }] });
  const reader = await two.client();
  t.same(await reader.ids(), [before], 'what was committed before is there');
  for (let round = 0; round < 20; round++) {
    const id = await application.write();
    t.ok((await reader.ids()).includes(id), 'an acknowledged commit can be read from the standby at once');
  }
}

async function failover({ t, one, two }: Scene): Promise<void> {
  let [from, to] = [one, two];
  for (let at = 2; at <= 4; at++) {
    const acknowledged = await writeUntilKilled(from);
    const promoted = value(await promote(to, at));
    t.match(await look(to), { role: 'primary', timeline: promoted.timeline, epoch: at, synchronous: [] });
    const survivor = await to.client();
    const ids = new Set(await survivor.ids());
    t.same(acknowledged.filter((id) => !ids.has(id)), [], `none of ${acknowledged.length} acknowledged writes is missing`);
    await survivor.write();

    const report = value(await rejoin(from, to, at));
    t.not(report.method, 'base-backup', 'the log is still there');
    await until(from, 'standby');
    value(await synchronous(to, at, from));
    const [left, right] = [await (await from.client()).ids(), await survivor.ids()];
    t.same(left, right, 'both have the same');
    [from, to] = [to, from];
  }
}

async function handOver({ t, one, two }: Scene): Promise<void> {
  let [from, to] = [one, two];
  for (let at = 1; at <= 4; at++) {
    const last = await (await from.client()).write();
    value(await from.database.prewarm(soon()));
    const token = value(await demote(from, at));
    t.match(await look(from), { role: 'down', shape: 'primary' });
    t.same(value(await demote(from, at)), token, 'asked again it gives the same token');
    value(await promote(to, at + 1, token));
    t.ok((await (await to.client()).ids()).includes(last));
    t.same(value(await rejoin(from, to, at + 1)), { method: 'start', discarded: null, keptAt: null });
    value(await synchronous(to, at + 1, from));
    [from, to] = [to, from];
  }
}

async function wrongTokens({ t, one, two }: Scene): Promise<void> {
  const token = value(await demote(one, 1));
  const wrong: [string, Partial<DemotionToken>][] = [
    ['another cluster', { systemIdentifier: '1234567890' }],
    ['another timeline', { timeline: token.timeline + 1 }],
    ['a shutdown that was not the last one', { checkpointLsn: lsn('0/1000028') }],
  ];
  for (const [what, change] of wrong) {
    t.equal(code(await promote(two, 2, { ...token, ...change })), 'CTM_DATABASE_TOKEN_MISMATCH', what);
    t.equal((await look(two)).role, 'standby', 'and it stays a standby');
  }
  const future = { ...token, checkpointLsn: lsn('F/0') };
  const waiting = await two.database.promote({ epoch: epoch(2), region: two.address.region, token: future }, soon(300));
  t.equal(code(waiting), 'CTM_DATABASE_TIMEOUT', 'log that never comes is waited for, within the signal');
  value(await promote(two, 2, token));
  t.equal(code(await promote(two, 3, { ...token, checkpointLsn: lsn('0/1000028') })), 'CTM_DATABASE_TOKEN_MISMATCH', 'also once promoted');
  t.match(await look(two), { role: 'primary', epoch: 3, recordedEpoch: 2 }, 'what was refused is not recorded as a promotion');
  t.equal(code(await promote(one, 2, { ...token, timeline: 7 })), 'CTM_DATABASE_TOKEN_MISMATCH', 'also while down');
}

async function standbyLost({ t, one, two }: Scene): Promise<void> {
  const application = await one.client();
  await application.write();
  await two.kill();
  const waiting = application.write();
  await waitFor('the primary to see that it is gone', async () => (await look(one)).standbys.length === 0);
  t.same((await look(one)).synchronous, [two.address.region], 'commits still wait');
  const other = settledFlag(waiting);
  t.equal(code(await synchronous(one, 1, two)), 'CTM_DATABASE_STANDBY_MISSING', 'it cannot be named again while it is gone');
  t.notOk(other.settled, 'the commit waits');

  value(await synchronous(one, 1));
  t.ok(await waiting, 'released');
  await application.write();
  t.same((await look(one)).synchronous, []);
  t.equal(code(await synchronous(one, 1, two)), 'CTM_DATABASE_STANDBY_MISSING');
  t.same((await look(one)).synchronous, [], 'a refusal changes nothing');
  await application.write();
  for (const name of ['', '*', 'a b', 'r"2', 'é', one.address.region]) {
    const refused = await one.database.setSynchronous({ epoch: epoch(1), standbys: [regionId(name)] }, soon());
    t.equal(code(refused), 'CTM_DATABASE_STANDBY_NAME_INVALID', JSON.stringify(name));
  }
}

async function staleEpochs({ t, one, two }: Scene): Promise<void> {
  value(await promote(one, 5));
  const calls = (member: DatabaseMember, source: DatabaseMember): [string, () => Promise<Result<unknown>>][] => [
    ['promote', () => promote(member, 4)],
    ['demote', () => demote(member, 4)],
    ['rejoin', () => rejoin(member, source, 4)],
    ['rejoin that preserves', () => rejoin(member, source, 4, true)],
    ['setSynchronous', () => synchronous(member, 4)],
  ];
  for (const [name, call] of calls(one, two)) t.equal(code(await call()), 'CTM_EPOCH_STALE', `${name} on the primary`);
  await waitFor('the epoch to arrive with the log', async () => (await look(two)).epoch === 5);
  for (const [name, call] of calls(two, one)) t.equal(code(await call()), 'CTM_EPOCH_STALE', `${name} on the standby`);
  t.match([await look(one), await look(two)], [{ role: 'primary', epoch: 5 }, { role: 'standby', epoch: 5 }], 'nothing happened');

  await Promise.all([one.kill(), two.kill()]);
  for (const [name, call] of calls(one, two)) t.equal(code(await call()), 'CTM_EPOCH_STALE', `${name} while down`);
  for (const [name, call] of calls(two, one)) t.equal(code(await call()), 'CTM_EPOCH_STALE', `${name} on a standby while down`);
  t.match([await look(one), await look(two)], [{ role: 'down', epoch: 5 }, { role: 'down', epoch: 5 }], 'nothing was started');
  t.equal(code(await one.again().promote({ epoch: epoch(4), region: one.address.region, token: null }, soon())), 'CTM_EPOCH_STALE');
}

async function repeats({ t, one, two }: Scene): Promise<void> {
  t.equal(code(await promote(one, 1)), 'ok');
  t.same((await look(one)).synchronous, [two.address.region], 'a promotion that was complete changes nobody whom commits wait for');
  const primary = one.again();
  t.match(await primary.observe(soon()), { role: 'primary', epoch: 1, synchronous: [two.address.region] }, 'a new controller finds the server');
  t.equal(value(await rejoin(two, one, 1)).method, 'start', 'a standby that streams is left alone');
  value(await synchronous(one, 1, two));
  value(await synchronous(one, 1, two));

  await one.kill();
  t.equal(code(await demote(one, 1)), 'CTM_DATABASE_NOT_CLEAN', 'a crash leaves no token');
  value(await promote(two, 2));
  t.same(value(await promote(two, 2)).timeline, value(await promote(two, 2)).timeline);
  t.equal(code(await rejoin(one, one, 2)), 'CTM_DATABASE_SOURCE_UNREACHABLE');
  value(await rejoin(one, two, 2));
  t.equal(value(await rejoin(one, two, 2)).method, 'start');
  t.equal(code(await demote(one, 2)), 'CTM_DATABASE_NOT_PRIMARY');
  t.equal(code(await synchronous(one, 2)), 'CTM_DATABASE_NOT_PRIMARY');
  t.equal(code(await rejoin(two, one, 2)), 'CTM_DATABASE_SOURCE_NOT_PRIMARY', 'nobody follows a standby');
  t.match(await look(two), { role: 'primary' }, 'which is found out before anything is stopped');
}

async function preserved({ t, one, two }: Scene): Promise<void> {
  const id = await (await one.client()).write();
  await Promise.all([one.kill(), two.kill()]);
  t.equal(code(await rejoin(two, one, 1)), 'CTM_DATABASE_SOURCE_UNREACHABLE');
  t.same(value(await rejoin(two, one, 1, true)), { method: 'start', discarded: null, keptAt: null }, 'the source need not answer');
  t.match(await look(two), { role: 'standby' });
  t.same(value(await rejoin(two, one, 1, true)).method, 'start', 'repeated');
  t.equal(code(await rejoin(one, two, 1, true)), 'CTM_DATABASE_WOULD_DISCARD', 'a primary is not turned into a standby on that word');
  value(await promote(two, 2));
  t.ok((await (await two.client()).ids()).includes(id));
}

async function frozen({ t, one, two }: Scene): Promise<void> {
  const thaw = one.freeze();
  try {
    const startedMs = performance.now();
    t.match(await one.database.observe(soon(300)), { role: 'unknown', standbys: [], lsn: null });
    t.ok(performance.now() - startedMs < 5_000, 'bounded');
    t.type((await one.database.observe(soon(300))).problem, 'string');
    const calls: [string, Promise<Result<unknown>>][] = [
      ['promote', one.again().promote({ epoch: epoch(2), region: one.address.region, token: null }, soon(300))],
      ['setSynchronous', one.again().setSynchronous({ epoch: epoch(2), standbys: [] }, soon(300))],
      ['rejoin from it', two.again().rejoin({ epoch: epoch(2), source: one.address, preserve: false }, soon(300))],
    ];
    for (const [name, call] of calls) t.equal(code(await call), 'CTM_DATABASE_TIMEOUT', name);
    t.equal(code(await one.again().promote({ epoch: epoch(2), region: one.address.region, token: null }, AbortSignal.abort())), 'CTM_DATABASE_TIMEOUT');
  } finally {
    thaw();
  }
  t.match(await until(one, 'primary'), { role: 'primary' }, 'and it is itself again');
}

async function writeUntilKilled(member: DatabaseMember): Promise<string[]> {
  const acknowledged: string[] = [];
  const writers = await Promise.all(Array.from({ length: 4 }, () => member.client()));
  let ended = false;
  const done = writers.map(async (writer) => {
    // The write under way at the kill is unknown, and therefore not counted.
    while (!ended) await writer.write().then((id) => acknowledged.push(id), () => (ended = true));
  });
  await waitFor('writes to be under way', () => acknowledged.length > 100);
  await member.kill();
  await Promise.all(done);
  return acknowledged;
}

const until = (member: DatabaseMember, role: Role): Promise<DatabaseObservation> =>
  waitFor(`a ${role}`, async () => {
    const seen = await look(member);
    if (seen.role === role && (role !== 'standby' || seen.receiver?.streaming === true)) return seen;
    throw new Error(JSON.stringify(seen));
  });

function settledFlag(promise: Promise<unknown>): { settled: boolean } {
  const flag = { settled: false };
  const settle = (): void => {
    flag.settled = true;
  };
  promise.then(settle, settle);
  return flag;
}
