// What a waiting probe may be told, and when.

import fc from 'fast-check';
import { test } from 'tap';
import type { Now } from '../types.ts';
import { epoch, monoMs, regionId, wallMs } from '../types.ts';
import type { GateProbe } from './probe.ts';
import { PROBES_WAITING_MAX, PROBE_WAIT_MS_MAX, judgeProbe, probeQuery, readProbeWaitMs } from './probe.ts';
import type { GateLimits, GateState, TakenInstruction } from './verdict.ts';

const limits: GateLimits = { region: regionId('r1'), held: 0, heldMax: 10, holdMsLimit: 60_000 };
const instruction: TakenInstruction = { version: 1, epoch: epoch(7), mode: 'open', activeRegion: regionId('r1'), holdForwarded: false, holdMsMax: 1 };
const at = (ms: number): Now => ({ monoMs: monoMs(ms), wallMs: wallMs(ms) });
const open = (validUntilMs: number): GateState => ({ instruction, asked: at(0), validUntilMonoMs: monoMs(validUntilMs), epochMax: epoch(7) });
const probe: GateProbe = { arrivedMonoMs: monoMs(10_000), forwardedBy: [], waitMs: 1_200, waits: false, answer: { kind: 'allow', sinceMonoMs: monoMs(0) } };

test('a probe waits as long as it asks, at most two seconds, and never beyond the validity', async (t) => {
  t.same(judgeProbe(open(60_000), probe, 0, limits, at(10_000)), { kind: 'wait', untilMonoMs: 11_200 });
  t.same(judgeProbe(open(60_000), { ...probe, waitMs: 99_999 }, 0, limits, at(10_000)), { kind: 'wait', untilMonoMs: 10_000 + PROBE_WAIT_MS_MAX });
  t.same(judgeProbe(open(10_700), probe, 0, limits, at(10_000)), { kind: 'wait', untilMonoMs: 10_700 });
  t.same(judgeProbe(open(60_000), { ...probe, waits: true }, 9_999, limits, at(11_199)), { kind: 'wait', untilMonoMs: 11_200 }, 'its place is its own');
  t.match(judgeProbe(open(60_000), { ...probe, waits: true }, 1, limits, at(11_200)), { kind: 'allow' });
});

test('one too many, and one that asks soon after a change, are told at once', async (t) => {
  t.match(judgeProbe(open(60_000), probe, PROBES_WAITING_MAX, limits, at(10_000)), { kind: 'allow' });
  const young = { ...probe, answer: { kind: 'allow', sinceMonoMs: monoMs(8_001) } } as const;
  t.match(judgeProbe(open(60_000), young, 0, limits, at(10_000)), { kind: 'allow' });
  t.match(judgeProbe(open(60_000), { ...young, answer: { kind: 'allow', sinceMonoMs: monoMs(8_000) } }, 0, limits, at(10_000)), { kind: 'wait' });
});

test('at any moment a waiting probe is told exactly what one that does not wait is told, or waits for it', async () => {
  const time = fc.integer({ min: 0, max: 20_000 });
  fc.assert(
    fc.property(time, time, time, fc.integer({ min: 0, max: 5_000 }), fc.constantFrom('allow', 'deny'), fc.constantFrom('open', 'closed'), (validUntil, arrived, later, waitMs, kind, mode) => {
      const state: GateState = { ...open(validUntil), instruction: { ...instruction, mode } };
      const asked: GateProbe = { ...probe, arrivedMonoMs: monoMs(arrived), waitMs, answer: { kind, sinceMonoMs: monoMs(0) } };
      const now = at(arrived + later);
      const active = mode === 'open' && now.monoMs < validUntil;
      const verdict = judgeProbe(state, asked, 0, limits, now);
      if (verdict.kind !== 'wait') return verdict.kind === (active ? 'allow' : 'deny');
      const inTime = verdict.untilMonoMs > now.monoMs && verdict.untilMonoMs <= arrived + PROBE_WAIT_MS_MAX && (!active || verdict.untilMonoMs <= validUntil);
      return inTime && kind === (active ? 'allow' : 'deny');
    }),
    { numRuns: 5_000 },
  );
});

test('a probe is of the well-known path: it is told of an open gate, and never sent on or held', async (t) => {
  const allowed = { ...probe, answer: { kind: 'deny', sinceMonoMs: monoMs(0) } } as const;
  t.same(judgeProbe(open(60_000), allowed, 0, limits, at(10_000)), { kind: 'allow', route: 'r1' });
  for (const mode of ['hold', 'forward', 'closed'] as const) {
    const state: GateState = { ...open(60_000), instruction: { ...instruction, mode, activeRegion: regionId('r2') } };
    t.same(judgeProbe(state, probe, 0, limits, at(10_000)), { kind: 'deny', code: 'CTM_GATE_FENCED' }, mode);
  }
});

test('the wait is read from exactly what is written into the record', async (t) => {
  t.equal(readProbeWaitMs(`/.well-known/continuum/counter${probeQuery(2)}`), 1_200);
  t.equal(readProbeWaitMs(`/.well-known/continuum/counter${probeQuery(1)}`), 200);
  t.equal(probeQuery(10), '?wait=1200');
  t.equal(readProbeWaitMs('/x?wait=99999'), PROBE_WAIT_MS_MAX);
  for (const path of ['', '/x', '/x?wait=', '/x?wait=-1', '/x?wait=1e3', '/x?wait=100000', '/x?wait=1&a', '/x?a&wait=1', '/x?y?wait=1', '/x?WAIT=1']) t.equal(readProbeWaitMs(path), 0, path);
});
