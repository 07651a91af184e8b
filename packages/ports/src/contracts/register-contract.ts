// What every `RegisterPort` must do, tried on a real register: the lease survives races, repeats, lost memory and crashes,
// and the one who waits hears of it at once.

import type { Test } from 'tap';
import { epoch, lsn, regionId } from '@continuum/core';
import type { LeaseCommand, LeaseReply, LeaseView } from '@continuum/core';
import type { LeasePush, RegisterPort } from '../register.ts';
import { waitFor } from '../../../../test/rig/process.ts';

export type ClosableRegister = RegisterPort & { readonly close: () => Promise<void> };

export type RegisterSubject = {
  /** The regions that take part in every lease; at least two. */
  readonly regions: readonly [string, string, ...string[]];
  /** A lease that exists and that nobody has used. Another one with each call. */
  readonly freshLease: () => string;
  /** One client of one region, with connections of its own. */
  readonly makeRegister: (lease: string, region: string) => Promise<ClosableRegister>;
  /** Kills the register with SIGKILL and starts it again on what it had stored. Returns when it answers. */
  readonly crash: () => Promise<void>;
};

const LONG_MS = 60_000;
const SHORT_MS = 400;
const RACERS_PER_REGION = 32;
const TOKEN = { systemIdentifier: '7300000000000000001', timeline: 3, checkpointLsn: lsn('16/B374D848') };

type Body<K extends LeaseCommand['kind']> = Omit<Extract<LeaseCommand, { kind: K }>, 'kind' | 'region' | 'seq' | 'instance'>;
type AnyBody = { [K in LeaseCommand['kind']]: { readonly kind: K } & Body<K> }[LeaseCommand['kind']];

const soon = (): AbortSignal => AbortSignal.timeout(10_000);

/** One controller of one region: numbers its commands and expects an answer to each. */
class Speaker {
  readonly register: ClosableRegister;
  readonly region: string;
  readonly instance: string;
  seq = 0;
  readonly pushes: LeasePush[] = [];
  readonly #watch = new AbortController();

  constructor(register: ClosableRegister, region: string) {
    this.register = register;
    this.region = region;
    this.instance = `${region}-a`;
  }

  command(body: AnyBody): LeaseCommand {
    this.seq += 1;
    return { region: regionId(this.region), seq: this.seq, instance: this.instance, ...body };
  }

  async repeat(command: LeaseCommand): Promise<LeaseReply> {
    return value(await this.register.send(command, soon()));
  }
  send(body: AnyBody): Promise<LeaseReply> {
    return this.repeat(this.command(body));
  }
  async read(): Promise<LeaseView> {
    return value(await this.register.read(soon()));
  }
  acquire(epochSeen: number, ttlMs = LONG_MS): Promise<LeaseReply> {
    return this.send({ kind: 'acquire', epochSeen: epoch(epochSeen), ttlMs, policyHash: 'p', force: null });
  }
  renew(at: number, ttlMs = LONG_MS): Promise<LeaseReply> {
    return this.send({ kind: 'renew', epoch: epoch(at), ttlMs, policyHash: 'p' });
  }
  setInSync(at: number, ...inSync: readonly string[]): Promise<LeaseReply> {
    return this.send({ kind: 'setInSync', epoch: epoch(at), inSync: inSync.map(regionId) });
  }

  watch(): void {
    this.register.watch((push) => this.pushes.push(push), this.#watch.signal);
  }
  unwatch(): void {
    this.#watch.abort();
  }
  heard(event: string, at?: number): Promise<LeasePush> {
    return waitFor(`${this.region} to hear ${event}`, () =>
      this.pushes.find((push) => push.event === event && (at === undefined || push.view.epoch === at)),
    );
  }
  /** The lease once nobody holds it any more. */
  free(): Promise<LeaseView> {
    return waitFor('the lease to end', async () => {
      const view = await this.read();
      return view.remainingMs === 0 ? view : null;
    });
  }
}

export async function registerContract(t: Test, subject: RegisterSubject): Promise<void> {
  const [first, second] = subject.regions;
  const speakers: Speaker[] = [];
  const speaker = async (lease: string, region: string): Promise<Speaker> => {
    const made = new Speaker(await subject.makeRegister(lease, region), region);
    speakers.push(made);
    return made;
  };
  const pair = async (): Promise<readonly [Speaker, Speaker]> => {
    const lease = subject.freshLease();
    return [await speaker(lease, first), await speaker(lease, second)];
  };
  t.teardown(async () => {
    for (const { register } of speakers) await register.close();
  });
  const context: Context = { subject, speaker, pair };
  await holding(t, context);
  await numbering(t, context);
  await handingOver(t, context);
  await watching(t, context);
  await crashing(t, context);
  for (const made of speakers) made.unwatch();
}

type Context = {
  readonly subject: RegisterSubject;
  readonly speaker: (lease: string, region: string) => Promise<Speaker>;
  readonly pair: () => Promise<readonly [Speaker, Speaker]>;
};

async function holding(t: Test, { subject, speaker, pair }: Context): Promise<void> {
  const [first, second] = subject.regions;

  await t.test('a lease that nobody ever held is at epoch 0', async (t) => {
    const [a] = await pair();
    t.match(await a.read(), { epoch: 0, holder: null, remainingMs: 0, seq: 0, revision: 0 });
  });

  await t.test('acquired, renewed, expired and acquired again, with the next epoch', async (t) => {
    const [a, b] = await pair();
    t.match(await a.acquire(0, SHORT_MS), { outcome: { ok: true }, view: { epoch: 1, holder: first } });
    t.match(await a.renew(1), { outcome: { ok: true }, view: { epoch: 1, ttlMs: LONG_MS } });
    t.match(await b.acquire(1), { outcome: { ok: false, code: 'held' }, view: { holder: first } });
    t.match(await a.setInSync(1, first, second), { outcome: { ok: true } });
    await a.renew(1, SHORT_MS);
    t.match(await b.free(), { epoch: 1, holder: first });
    t.match(await a.renew(1), { outcome: { ok: false, code: 'expired' } });
    t.match(await b.acquire(1), { outcome: { ok: true }, view: { epoch: 2, holder: second, inSync: [second] } });
    t.match(await a.renew(1), { outcome: { ok: false, code: 'not-holder' } });
  });

  await t.test(`of ${2 * RACERS_PER_REGION} racing acquires exactly one wins`, async (t) => {
    const lease = subject.freshLease();
    const names = Array.from({ length: RACERS_PER_REGION }, () => [first, second]).flat();
    const racers = await Promise.all(names.map((region) => speaker(lease, region)));
    // Every connection is open and every racer has a number of its own before the start.
    await Promise.all(racers.map((racer, index) => ((racer.seq = index >> 1), racer.read())));
    const replies = await Promise.all(racers.map((racer) => racer.acquire(0)));
    t.equal(replies.filter(({ outcome }) => outcome.ok).length, 1);
    const refused = new Set(replies.map(({ outcome }) => (outcome.ok ? 'granted' : outcome.code)));
    t.match([...refused].filter((code) => !['granted', 'held', 'seq-stale'].includes(code)), []);
    const view = await racers[0]?.read();
    t.match(view, { epoch: 1 });
    const winner = replies.findIndex(({ outcome }) => outcome.ok);
    t.equal(view?.holder, names[winner]);
  });

  await t.test('who is not in sync is refused, also after expiry, unless forced with a reason', async (t) => {
    const [a, b] = await pair();
    await a.acquire(0, SHORT_MS);
    await b.free();
    t.match(await b.acquire(1), { outcome: { ok: false, code: 'not-in-sync' }, view: { epoch: 1 } });
    const force = { reason: 'first region is gone for good', estimatedLoss: '2 MB of log' };
    const forced = await b.send({ kind: 'acquire', epochSeen: epoch(1), ttlMs: LONG_MS, policyHash: 'other', force });
    t.match(forced, { outcome: { ok: true }, view: { epoch: 2, holder: second } });
  });

  await t.test('a second controller of the holder region is told so', async (t) => {
    const [a] = await pair();
    await a.acquire(0);
    const renewal = a.command({ kind: 'renew', epoch: epoch(1), ttlMs: LONG_MS, policyHash: 'p' });
    t.match(await a.repeat({ ...renewal, instance: 'another' }), { outcome: { ok: false, code: 'instance-conflict' } });
    t.match(await a.renew(1), { outcome: { ok: true } });
  });
}

async function numbering(t: Test, { pair }: Context): Promise<void> {
  await t.test('the same command, however often and at once, is carried out once', async (t) => {
    const [a] = await pair();
    const command = a.command({ kind: 'acquire', epochSeen: epoch(0), ttlMs: LONG_MS, policyHash: 'p', force: null });
    const replies = await Promise.all(Array.from({ length: 8 }, () => a.repeat(command)));
    t.ok(replies.every(({ outcome }) => outcome.ok));
    t.match(await a.read(), { epoch: 1, revision: 1, seq: 1 });
  });

  await t.test('an older number and a used number are refused', async (t) => {
    const [a] = await pair();
    const acquire = a.command({ kind: 'acquire', epochSeen: epoch(0), ttlMs: LONG_MS, policyHash: 'p', force: null });
    await a.repeat(acquire);
    const renewal = a.command({ kind: 'renew', epoch: epoch(1), ttlMs: LONG_MS, policyHash: 'p' });
    await a.repeat(renewal);
    t.match(await a.repeat(acquire), { outcome: { ok: false, code: 'seq-stale' }, view: { epoch: 1, seq: 2 } });
    const other = a.command({ kind: 'release', epoch: epoch(1) });
    t.match(await a.repeat({ ...other, seq: renewal.seq }), { outcome: { ok: false, code: 'seq-reused' } });
    t.match(await a.read(), { revision: 2, ttlMs: LONG_MS });
  });
}

async function handingOver(t: Test, { subject, pair }: Context): Promise<void> {
  const [first, second] = subject.regions;

  await t.test('a released lease is free at once', async (t) => {
    const [a, b] = await pair();
    await a.acquire(0);
    await a.setInSync(1, first, second);
    t.match(await a.send({ kind: 'release', epoch: epoch(1) }), { outcome: { ok: true }, view: { holder: null, remainingMs: 0 } });
    t.match(await b.acquire(1), { outcome: { ok: true }, view: { epoch: 2, holder: second } });
  });

  await t.test('a transfer gives the other region the lease and the token, in one step', async (t) => {
    const [a, b] = await pair();
    await a.acquire(0);
    const transfer = { kind: 'transfer' as const, epoch: epoch(1), id: 's1', to: regionId(second), token: TOKEN };
    t.match(await a.send(transfer), { outcome: { ok: false, code: 'not-in-sync' } });
    await a.setInSync(1, first, second);
    t.match(await a.send(transfer), { outcome: { ok: true }, view: { epoch: 2, holder: second } });
    const seen = await b.read();
    t.match(seen, { epoch: 2, holder: second, instance: null, inSync: [second] });
    t.same(seen.handover, { id: 's1', from: first, to: second, token: TOKEN });
    t.match(await a.renew(1), { outcome: { ok: false, code: 'not-holder' } });
    t.match(await b.renew(2), { outcome: { ok: true }, view: { instance: b.instance } });
  });

  await t.test('an intent is seen by both, answered by the target, and not reset when asked for again', async (t) => {
    const [a, b] = await pair();
    await a.acquire(0);
    await a.setInSync(1, first, second);
    const intent = { kind: 'requestSwitchover' as const, id: 's1', from: regionId(first), to: regionId(second), validForMs: LONG_MS };
    t.match(await a.send(intent), { outcome: { ok: true }, view: { intent: { id: 's1', target: 'pending' } } });
    const refusal = { kind: 'answerSwitchover' as const, id: 's1', answer: 'refused' as const, reasons: ['lag is unknown'] };
    t.match(await b.send(refusal), { outcome: { ok: true } });
    t.match(await a.send(intent), { view: { intent: { target: 'refused', reasons: ['lag is unknown'] } } });
    t.match(await b.send({ ...intent, id: 's2' }), { outcome: { ok: false, code: 'switchover-pending' } });
    t.match(await b.send({ ...refusal, answer: 'cancelled' }), { view: { intent: null } });
    t.match(await b.send(refusal), { outcome: { ok: false, code: 'switchover-unknown' } });
  });
}

async function watching(t: Test, { subject, pair }: Context): Promise<void> {
  const [first, second] = subject.regions;

  await t.test('both regions hear every change, in order, each with its own view', async (t) => {
    const [a, b] = await pair();
    a.watch();
    b.watch();
    // Until the watches are up, renewals are what there is to hear.
    await a.acquire(0);
    await waitFor('both watches', async () => {
      await a.renew(1);
      return a.pushes.length > 0 && b.pushes.length > 0;
    });
    await a.setInSync(1, first, second);
    await a.send({ kind: 'requestSwitchover', id: 's1', from: regionId(first), to: regionId(second), validForMs: LONG_MS });
    await a.send({ kind: 'transfer', epoch: epoch(1), id: 's1', to: regionId(second), token: TOKEN });
    await b.setInSync(2, first, second);
    await b.renew(2, SHORT_MS);
    await b.heard('expired', 2);
    await a.heard('expired', 2);
    await a.acquire(2);
    await a.send({ kind: 'release', epoch: epoch(3) });
    for (const one of [a, b]) {
      await one.heard('released', 3);
      const heard = one.pushes.map(({ event }) => event).filter((event) => event !== 'renewed');
      const [, ...rest] = ['granted', 'in-sync', 'intent', 'transferred', 'in-sync', 'overdue', 'expired', 'granted', 'released'];
      t.same(heard[0] === 'granted' ? heard.slice(1) : heard, rest);
      const revisions = one.pushes.map(({ view }) => view.revision);
      t.same(revisions, revisions.toSorted((x, y) => x - y));
    }
    t.equal((await a.heard('released')).view.seq, a.seq, 'the view of its own region');
    t.equal((await b.heard('released')).view.seq, b.seq);
    t.match((await b.heard('expired')).view, { remainingMs: 0, epoch: 2, holder: second });
    t.ok((await b.heard('overdue')).view.remainingMs <= SHORT_MS / 2);
  });

  await t.test('who begins to watch an expired lease is told', async (t) => {
    const [a, b] = await pair();
    await a.acquire(0, SHORT_MS);
    await b.free();
    b.watch();
    t.match((await b.heard('expired')).view, { epoch: 1, holder: first });
  });

  await t.test('a watch that was ended hears nothing more', async (t) => {
    const [a, b] = await pair();
    a.watch();
    b.watch();
    await a.acquire(0);
    await waitFor('both watches', async () => {
      await a.renew(1);
      return a.pushes.length > 0 && b.pushes.length > 0;
    });
    b.unwatch();
    const before = b.pushes.length;
    await a.send({ kind: 'release', epoch: epoch(1) });
    await a.heard('released');
    t.equal(b.pushes.length, before);
  });
}

async function crashing(t: Test, { subject, pair }: Context): Promise<void> {
  const [first, second] = subject.regions;

  await t.test('a crash of the register loses neither epoch nor holder nor numbers, and watches come back', async (t) => {
    const [a, b] = await pair();
    b.watch();
    await a.acquire(0);
    await a.setInSync(1, first, second);
    const renewal = a.command({ kind: 'renew', epoch: epoch(1), ttlMs: LONG_MS, policyHash: 'p' });
    await a.repeat(renewal);
    const before = await a.read();
    await subject.crash();
    const { remainingMs, ...after } = await a.read();
    t.match(before, after);
    t.ok(remainingMs > 0 && remainingMs <= before.remainingMs);
    t.match(await a.repeat(renewal), { outcome: { ok: true }, view: { revision: before.revision } });
    t.match(await b.acquire(1), { outcome: { ok: false, code: 'held' } });
    b.pushes.length = 0;
    await a.renew(1, SHORT_MS);
    await b.heard('expired');
    t.match(await b.acquire(1), { outcome: { ok: true }, view: { epoch: 2, holder: second } });
  });

  await t.test('what happens while the register is down is a failure, and a repeat afterwards is answered', async (t) => {
    const [a] = await pair();
    const command = a.command({ kind: 'acquire', epochSeen: epoch(0), ttlMs: LONG_MS, policyHash: 'p', force: null });
    const crash = subject.crash();
    const during: string[] = [];
    const reply = await waitFor('an answer', async () => {
      const answered = await a.register.send(command, soon());
      if (!answered.ok) during.push(answered.failure.code);
      return answered.ok ? answered.value : null;
    });
    await crash;
    t.match(reply, { outcome: { ok: true }, view: { epoch: 1 } });
    t.same([...new Set(during)].filter((code) => !/^CTM_REGISTER_(UNREACHABLE|TIMEOUT)$/.test(code)), []);
    t.match(await a.repeat(command), { outcome: { ok: true }, view: { revision: 1 } });
  });
}

function value<T>(result: { ok: true; value: T } | { ok: false; failure: { code: string; message: string } }): T {
  if (!result.ok) throw new Error(`${result.failure.code}: ${result.failure.message}`);
  return result.value;
}
