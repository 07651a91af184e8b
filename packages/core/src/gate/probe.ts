// A name server's question "is this region active?", kept until the answer changes. A name server learns of a change at its next
// probe, and PowerDNS makes one a second at most; one that waits at the gate is answered in the moment of the change. Only a probe
// that asks for it waits (`?wait=1200`), and every answer is judged by the clock when it is given: a waiting "active" is taken back
// the moment the validity ends, and is never given after it (I4).
//
// The price: a region that vanishes without a word (no refusal, no reset) is noticed when the probe that waits there runs out, 0.8 to
// 2 s later. PowerDNS counts a time-out in whole seconds, so the other choice is 1. With the margin that two far regions need (a
// connection, a request, and the gateway: 800 ms) such a probe waits 200 ms of each second, and a name follows the lease after 0.3 s on
// average instead of 11 ms. With less margin a far region's probe runs out while the region lives, and an active region is dropped from
// its own name. What it would buy is little: nobody takes over before the lease has run out, which is two thirds of its ttl after the
// region vanished, or later. From an objective of 6 s on that is 2 s; below it both regions are named for the rest of the 2 s, and a
// client tries the other address.
//
// A name server that was just started waits as well, and names both regions until its first probe has ended. Answered at once, it would
// be deaf for the rest of that second instead, and a change of the lease in it would leave the fenced region alone in the answer. Both
// regions, of which one forwards to the other, are the better of the two; it was tried and measured.

import type { MonoMs, Now } from '../types.ts';
import { addMs } from '../types.ts';
import type { GateLimits, GateRequest, GateState, GateVerdict } from './verdict.ts';
import { judge } from './verdict.ts';

/** Longest wait, whatever a probe asks for. */
export const PROBE_WAIT_MS_MAX = 2_000;
/** Probes that may wait at once: name servers, and strangers who ask like one. Above it they are answered at once. */
export const PROBES_WAITING_MAX = 256;
/** An answer younger than this is given at once: a name server between two probes has not heard it. Over one round of a name server. */
const ANSWER_YOUNG_MS = 2_000;
/** Of a probe's time-out: two round trips between far regions, and the gateway. */
const PROBE_MARGIN_MS = 800;
/** Over one second, so that a PowerDNS up to 4.9 that probes every second has a probe waiting all the time. */
const PROBE_WAIT_MS = 1_200;

export type GateProbe = {
  readonly arrivedMonoMs: MonoMs;
  readonly forwardedBy: readonly string[];
  readonly waitMs: number;
  /** It waits already. */
  readonly waits: boolean;
  /** What it would have been told when it came, and since when that is the answer. */
  readonly answer: GateAnswer;
};

export type GateAnswer = { readonly kind: GateVerdict['kind']; readonly sinceMonoMs: MonoMs };

/** What the URL of a probe ends with, for a name server that gives up after `timeoutSeconds`. */
export function probeQuery(timeoutSeconds: number): string {
  return `?wait=${Math.min(PROBE_WAIT_MS, timeoutSeconds * 1_000 - PROBE_MARGIN_MS)}`;
}

/** How long the asker of this path is willing to wait; 0 when it does not say so exactly like `probeQuery`. */
export function readProbeWaitMs(path: string): number {
  const [, digits] = /^[^?]*\?wait=(\d{1,5})$/.exec(path) ?? [];
  return Math.min(Number(digits ?? 0), PROBE_WAIT_MS_MAX);
}

/** What happens to a probe at this moment; `waiting` counts the probes that wait. */
export function judgeProbe(state: GateState, probe: GateProbe, waiting: number, limits: GateLimits, now: Now): GateVerdict {
  const { arrivedMonoMs, answer } = probe;
  const request: GateRequest = { kind: 'well-known', forwardedBy: probe.forwardedBy, arrivedMonoMs, held: false };
  const verdict = judge(state, request, limits, now);
  const untilMonoMs = addMs(arrivedMonoMs, Math.min(probe.waitMs, PROBE_WAIT_MS_MAX));
  const young = arrivedMonoMs < answer.sinceMonoMs + ANSWER_YOUNG_MS;
  const full = !probe.waits && waiting >= PROBES_WAITING_MAX;
  if (verdict.kind !== answer.kind || young || full || now.monoMs >= untilMonoMs) return verdict;
  const endsFirst = verdict.kind === 'allow' && state.validUntilMonoMs < untilMonoMs;
  return { kind: 'wait', untilMonoMs: endsFirst ? state.validUntilMonoMs : untilMonoMs };
}
