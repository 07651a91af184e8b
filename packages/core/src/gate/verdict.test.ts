import fc from 'fast-check';
import { test } from 'tap';
import type { Now } from '../types.ts';
import { addMs, epoch, monoMs, regionId, wallMs } from '../types.ts';
import type { GateLimits, GateRequest, GateState, GateVerdict, TakenInstruction } from './verdict.ts';
import { judge, newGate, remainingValidityMs, takeInstruction, wallAheadMs } from './verdict.ts';

const [own, other] = [regionId('r1'), regionId('r2')];
const start: Now = { monoMs: monoMs(1_000), wallMs: wallMs(5_000_000) };
const limits: GateLimits = { region: own, held: 0, heldMax: 10, holdMsLimit: 60_000 };
const instruction: TakenInstruction = {
  version: 1,
  epoch: epoch(7),
  mode: 'open',
  activeRegion: own,
  holdForwarded: false,
  holdMsMax: 5_000,
};
const request: GateRequest = { kind: 'application', forwardedBy: [], arrivedMonoMs: start.monoMs, held: false };

const later = (now: Now, ms: number): Now => ({ monoMs: addMs(now.monoMs, ms), wallMs: wallMs(now.wallMs + ms) });
const told = (change: Partial<TakenInstruction>, remainingMs = 3_000): GateState =>
  takeInstruction(newGate(epoch(0), start), { ...instruction, ...change }, start, remainingMs).state;

const denied = (code: string): object => ({ kind: 'deny', code });

test('a gate that has heard nothing refuses everything', async (t) => {
  const silent = newGate(epoch(3), start);
  for (const kind of ['well-known', 'application'] as const) {
    for (const forwardedBy of [[], ['r2']]) {
      t.same(judge(silent, { ...request, kind, forwardedBy }, limits, start), denied('CTM_GATE_FENCED'));
    }
  }
});

test('the verdict of every mode for every kind of request', async (t) => {
  const wait = { kind: 'wait', untilMonoMs: 6_000 };
  const allow = (route: string): object => ({ kind: 'allow', route });
  const fenced = denied('CTM_GATE_FENCED');
  const loop = denied('CTM_GATE_LOOP');
  type Expected = { application: object; forwarded: object; cameBack: object; wellKnown: object };
  const all = (verdict: object, wellKnown: object): Expected => {
    return { application: verdict, forwarded: verdict, cameBack: verdict, wellKnown };
  };
  const cases: [string, Partial<TakenInstruction>, Expected][] = [
    ['open', { mode: 'open' }, all(allow('r1'), allow('r1'))],
    ['closed', { mode: 'closed', holdForwarded: true }, all(fenced, fenced)],
    ['hold', { mode: 'hold' }, all(wait, fenced)],
    [
      'forward',
      { mode: 'forward', activeRegion: other },
      { application: allow('r2'), forwarded: allow('r2'), cameBack: loop, wellKnown: fenced },
    ],
    [
      'forward during a switchover',
      { mode: 'forward', activeRegion: other, holdForwarded: true },
      { application: allow('r2'), forwarded: wait, cameBack: wait, wellKnown: fenced },
    ],
    [
      'forward to nobody',
      { mode: 'forward', activeRegion: null },
      { application: fenced, forwarded: fenced, cameBack: loop, wellKnown: fenced },
    ],
    [
      'forward to itself',
      { mode: 'forward', activeRegion: own },
      { application: fenced, forwarded: fenced, cameBack: loop, wellKnown: fenced },
    ],
  ];
  for (const [name, change, expected] of cases) {
    const state = told(change);
    t.same(judge(state, request, limits, start), expected.application, `${name}: application`);
    t.same(judge(state, { ...request, forwardedBy: ['r2'] }, limits, start), expected.forwarded, `${name}: forwarded`);
    for (const forwardedBy of [['r1', 'r2'], ['r1'], ['r3', 'r2']]) {
      t.same(judge(state, { ...request, forwardedBy }, limits, start), expected.cameBack, `${name}: ${forwardedBy.join()}`);
    }
    for (const forwardedBy of [[], ['r2']]) {
      const wellKnown: GateRequest = { ...request, kind: 'well-known', forwardedBy };
      t.same(judge(state, wellKnown, limits, start), expected.wellKnown, `${name}: well-known path`);
    }
  }
});

test('an open gate refuses from the millisecond its validity ends', async (t) => {
  const state = told({ mode: 'open' }, 3_000);
  for (const kind of ['well-known', 'application'] as const) {
    t.equal(judge(state, { ...request, kind }, limits, later(start, 2_999)).kind, 'allow');
    t.same(judge(state, { ...request, kind }, limits, later(start, 3_000)), denied('CTM_GATE_FENCED'));
  }
});

test('validity counts from before the ask, however late the answer came', async (t) => {
  const answeredAt = later(start, 2_500);
  const state = told({ mode: 'open' }, 3_000);
  t.equal(remainingValidityMs(state, answeredAt), 500);
});

test('only an open gate has validity left, whatever it was told', async (t) => {
  t.equal(remainingValidityMs(newGate(epoch(0), start), start), 0, 'it was told nothing');
  for (const mode of ['hold', 'forward', 'closed'] as const) t.equal(remainingValidityMs(told({ mode }, 3_000), start), 0, mode);
  t.equal(remainingValidityMs(told({ mode: 'open' }, 3_000), later(start, 4_000)), 0, 'never below none');
});

test('a mode that this version does not know ends the process', async (t) => {
  const unknown = told({ mode: 'ajar' as unknown as TakenInstruction['mode'] });
  t.throws(() => judge(unknown, request, limits, start), { code: 'CTM_ASSERT_UNREACHABLE' });
});

test('a shorter validity counts at once', async (t) => {
  const long = told({ mode: 'open' }, 30_000);
  const { state } = takeInstruction(long, instruction, later(start, 10), 0);
  t.same(judge(state, request, limits, later(start, 10)), denied('CTM_GATE_FENCED'));
});

test('a short sleep since the ask is time that has passed; after a long one nothing passes: a wall clock set back may hide the rest', async (t) => {
  const state = told({ mode: 'open' }, 30_000);
  const after = (sleptMs: number): Now => ({ monoMs: addMs(start.monoMs, 100), wallMs: wallMs(start.wallMs + 100 + sleptMs) });
  t.equal(wallAheadMs(start, after(1_001)), 1_001);
  t.equal(remainingValidityMs(state, after(300)), 29_600);
  t.equal(remainingValidityMs(state, after(1_000)), 28_900);
  const awake = after(1_001);
  t.same(judge(state, request, limits, awake), denied('CTM_GATE_FENCED'));
  const asked = takeInstruction(state, instruction, awake, 30_000).state;
  t.equal(judge(asked, request, limits, later(awake, 5)).kind, 'allow');
});

test('an answer to a question from before the sleep opens nothing', async (t) => {
  const awake: Now = { monoMs: addMs(start.monoMs, 100), wallMs: wallMs(start.wallMs + 60_100) };
  const { state } = takeInstruction(told({ mode: 'open' }), instruction, start, 30_000);
  t.same(judge(state, request, limits, awake), denied('CTM_GATE_FENCED'));
});

test('a wall clock that is set back changes nothing', async (t) => {
  const state = told({ mode: 'open' }, 3_000);
  const back: Now = { monoMs: addMs(start.monoMs, 2_999), wallMs: wallMs(start.wallMs - 60_000) };
  t.equal(judge(state, request, limits, back).kind, 'allow');
  t.equal(judge(state, request, limits, { ...back, monoMs: addMs(start.monoMs, 3_000) }).kind, 'deny');
});

test('a hold ends at the shorter of the two bounds, counted from the arrival', async (t) => {
  const state = told({ mode: 'hold', holdMsMax: 5_000 });
  const held: GateRequest = { ...request, held: true };
  t.same(judge(state, held, limits, later(start, 4_999)), { kind: 'wait', untilMonoMs: 6_000 });
  t.same(judge(state, held, limits, later(start, 5_000)), denied('CTM_GATE_HOLD_EXPIRED'));
  const short = { ...limits, holdMsLimit: 2_000 };
  t.same(judge(state, held, short, later(start, 1_999)), { kind: 'wait', untilMonoMs: 3_000 });
  t.same(judge(state, held, short, later(start, 2_000)), denied('CTM_GATE_HOLD_EXPIRED'));
});

test('a full waiting room refuses who arrives, and keeps who waits', async (t) => {
  const full = { ...limits, held: 10 };
  const state = told({ mode: 'hold' });
  t.same(judge(state, request, full, start), denied('CTM_GATE_HOLD_FULL'));
  t.equal(judge(state, { ...request, held: true }, full, start).kind, 'wait');
  t.equal(judge(state, request, { ...limits, held: 9 }, start).kind, 'wait');
});

test('an instruction of a lower epoch than the highest accepted is refused and changes nothing', async (t) => {
  const state = told({ epoch: epoch(7), mode: 'closed' });
  const stale = takeInstruction(state, { ...instruction, epoch: epoch(6) }, later(start, 10), 60_000);
  t.equal(stale.outcome, 'epoch-stale');
  t.equal(stale.state, state);
  const remembered = takeInstruction(newGate(epoch(8), start), instruction, start, 60_000);
  t.equal(remembered.outcome, 'epoch-stale', 'also when the highest is from an earlier process');
  t.equal(takeInstruction(state, instruction, start, 1).state.epochMax, 7, 'the same epoch counts');
});

test('only more validity is not a change', async (t) => {
  const state = told({});
  t.equal(takeInstruction(newGate(epoch(0), start), instruction, start, 1).outcome, 'changed');
  t.equal(takeInstruction(state, instruction, later(start, 100), 9_000).outcome, 'extended');
  const changes: Partial<TakenInstruction>[] = [
    { version: 2 },
    { epoch: epoch(8) },
    { mode: 'hold' },
    { activeRegion: other },
    { holdForwarded: true },
    { holdMsMax: 1 },
  ];
  for (const change of changes) {
    const { outcome } = takeInstruction(state, { ...instruction, ...change }, start, 1);
    t.equal(outcome, 'changed', JSON.stringify(change));
  }
});

const anyInstruction = fc.record({
  version: fc.integer({ min: 1, max: 9 }),
  epoch: fc.integer({ min: 0, max: 9 }).map(epoch),
  mode: fc.constantFrom('open', 'hold', 'forward', 'closed'),
  activeRegion: fc.constantFrom(own, other, null),
  holdForwarded: fc.boolean(),
  holdMsMax: fc.integer({ min: 1, max: 20_000 }),
});
const anyStep = fc.record({
  instruction: anyInstruction,
  remainingMs: fc.integer({ min: 0, max: 10_000 }),
  askTookMs: fc.integer({ min: 0, max: 5_000 }),
  thenMs: fc.integer({ min: 0, max: 5_000 }),
});
const anyRequest = fc.record({
  kind: fc.constantFrom('well-known', 'application'),
  forwardedBy: fc.array(fc.constantFrom('r1', 'r2', 'r3'), { maxLength: 3 }),
  held: fc.boolean(),
  waitedMs: fc.integer({ min: 0, max: 20_000 }),
});

test('whatever a controller says in whatever order, the promises of the gate hold', async (t) => {
  const property = fc.property(fc.array(anyStep, { maxLength: 12 }), anyRequest, (steps, shape) => {
    let state = newGate(epoch(0), start);
    let now = start;
    for (const step of steps) {
      const asked = now;
      now = later(now, step.askTookMs);
      const before = state;
      state = takeInstruction(state, step.instruction, asked, step.remainingMs).state;
      now = later(now, step.thenMs);
      const { waitedMs, ...rest } = shape;
      const arrival: GateRequest = { ...rest, arrivedMonoMs: monoMs(now.monoMs - waitedMs) };
      const verdict = judge(state, arrival, limits, now);
      if (state.epochMax < before.epochMax || breaksPromise(state, arrival, verdict, now)) return false;
    }
    return true;
  });
  fc.assert(property, { numRuns: 3_000, seed: 7 });
  t.pass('3000 runs');
});

function breaksPromise(state: GateState, arrival: GateRequest, verdict: GateVerdict, now: Now): boolean {
  if (verdict.kind === 'wait') {
    const tooLong = verdict.untilMonoMs - arrival.arrivedMonoMs > (state.instruction?.holdMsMax ?? 0);
    return tooLong || verdict.untilMonoMs <= now.monoMs || arrival.kind === 'well-known';
  }
  if (verdict.kind === 'deny') return false;
  const local = verdict.route === own;
  const servesPastValidity = local && (state.instruction?.mode !== 'open' || now.monoMs >= state.validUntilMonoMs);
  const forwardsTwice = !local && (arrival.forwardedBy.includes(own) || arrival.forwardedBy.length > 1);
  const looksActive = !local && arrival.kind === 'well-known';
  return servesPastValidity || forwardsTwice || looksActive;
}
