// Recorded traces of a real pair (packages/sim/traces) against the two things that claim to know how replication behaves: the
// core's arithmetic must say of the recorded samples what the prober said, and the truth of the commits; the model of the
// simulator, under the same script at the same times, must look as the real servers did.
//
// Stated deviations of the model:
// - It has no bandwidth. A slow link is a standing one there, so all commits since are behind, and nothing moves.
// - Its log holds commits only. A real idle primary now and then writes log that no commit made; it is never counted as one.
// - Nobody measures the age of a receiver's last message in it: `messageAgeMs` is null, and no decision reads it.

import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'tap';
import type { DatabaseObservation } from '@continuum/core';
import { epoch, lsnDiffBytes, monoMs } from '@continuum/core';
import { absorbObservation, absorbProbe, nameOf, newCluster, NO_EVIDENCE, reportCluster, viewOf } from '@continuum/core/replication/index';
import type { MemberEvidence, PrimarySample, StandbySample } from '@continuum/core/replication/index';
import { probeOf, saidOf, settingsOf } from './lag-trace.ts';
import type { LagTrace, Said, Step } from './lag-trace.ts';
import { Machine } from './machine.ts';
import { DatabaseOperator } from './models/database-operator.ts';
import { Database } from './models/database.ts';
import { Link } from './network.ts';
import { Simulation } from './simulation.ts';

const FOLDER = new URL('../traces/', import.meta.url);
const traces = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.json'))
  .map((name) => JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as LagTrace);
const NAMES = ['frozen-receiver', 'idle', 'link-cut', 'promotion', 'replay-paused', 'slow-link', 'steady-writes'];

/** What the recorder's own rounding may take from a time, and a read of the clock. */
const ROUNDING_MS = 3;
/** A trace's first looks find a stream that has just begun. */
const SETTLED_MS = 450;
/** How far apart in time the model and the servers may be: two looks. */
const APART_MS = 300;
/** A verdict passes the debouncer: three looks more. */
const VERDICT_APART_MS = APART_MS + 450;
/** Commits of one look's time, and one: between two looks at the servers nobody counted. */
const COMMITS_APART = 4;
/** No bandwidth in the model: see above. */
const SLOW_LINK_SHARE = 0.5;
/** Stalled after so long, in the evidence of both; the traces are too short for the controller's own limit. */
const LIMITS = { replayLagMaxBytes: 67_108_864, stallMinMs: 600 };
const BYTES_PER_ENTRY = 0x100;
/** The model is given so long to connect before the script begins. */
const WARM_UP_MS = 1_000;

test('every kind of trace is there', async (t) => {
  t.same(traces.map((one) => one.name).sort(), NAMES);
});

for (const trace of traces) {
  test(`${trace.name}: the core says of the recorded samples what was said then, and it is true`, async (t) => {
    const said = replay(trace);
    t.same(said, trace.said);
    const rounds = said.map((one, index) => ({ said: one, truth: truthOf(trace, 2 * index) }));
    const wrong = rounds.filter((one) => !isTrue(one.said, one.truth));
    t.same(wrong.slice(0, 3), [], `${rounds.length} rounds: no false zero, not less than the truth, at most a look more`);
  });

  test(`${trace.name}: the model looks as the servers did`, async (t) => {
    const [real, model] = [ofServers(trace), ofModel(trace)];
    t.equal(model.length, real.length);
    const wrong = model.flatMap((one, index) => (real[index] === undefined || one.atMs < SETTLED_MS ? [] : differences(trace, real, one)));
    t.same(wrong.slice(0, 5), [], `${real.length} looks`);
  });
}

test('the traces show what they were recorded for', async (t) => {
  const during = (name: string, from: Step | number, until: Step | number): Look[] => {
    const trace = traceOf(name);
    const timeOf = (one: Step | number): number => (typeof one === 'number' ? one : (trace.steps.find(([, step]) => step === one)?.[0] ?? NaN));
    return ofServers(trace).filter((one) => one.atMs > timeOf(from) + APART_MS && one.atMs < timeOf(until));
  };
  const frozen = during('frozen-receiver', 'freeze-receiver', 'thaw-receiver').filter((one) => one.end === 'r2');
  t.ok(frozen.length > 5 && frozen.every((one) => one.equal && one.streaming), 'a frozen receiver has equal positions and says that it streams');
  t.ok((frozen.at(-1)?.behind ?? 0) > 20, 'while dozens of commits are behind');
  const paused = during('replay-paused', 'pause-replay', 'resume-replay').filter((one) => one.end === 'r2');
  t.ok(paused.length > 5 && paused.every((one) => !one.equal && one.streaming && one.paused), 'paused replay receives and does not replay');
  t.ok(during('idle', SETTLED_MS, 3_000).every((one) => one.behind === 0), 'an idle pair is never behind');
  t.ok(during('link-cut', 'cut-link', 'heal-link').every((one) => one.end === 'r1' || one.streaming), 'a cut link looks connected from both ends');
  t.ok(during('slow-link', 'slow-link', 'fast-link').at(-1)?.verdict === 'promotable', 'a slow standby moves, and is not called stalled');
  for (const name of ['frozen-receiver', 'link-cut', 'replay-paused']) {
    for (const looks of [ofServers(traceOf(name)), ofModel(traceOf(name))]) {
      const verdicts = looks.filter((one) => one.end === 'r1').map((one) => one.verdict);
      t.ok(verdicts.includes('replay-stalled') && verdicts.at(-1) === 'promotable', `${name}: its primary sees it stall, and come back`);
    }
  }
  t.ok(during('promotion', 'promote-r2', 3_000).every((one) => one.end === 'r1' || one.timelines === 1));
});

// --- the core ----------------------------------------------------------------------------------------------------------

function traceOf(name: string): LagTrace {
  const found = traces.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no trace ${name}`);
  return found;
}

function replay(trace: LagTrace): Said[] {
  let state = newCluster(settingsOf(trace));
  return trace.looks.flatMap((row, index) => {
    state = absorbProbe(state, probeOf(row));
    return index % 2 === 0 ? [] : [saidOf(reportCluster(state, monoMs(row[2])), row[2])];
  });
}

type Truth = { readonly missing: number; readonly leastMs: number; readonly mostMs: number };

/** Of the commits that were acknowledged when the round's primary was asked: those that its standby had not replayed. */
function truthOf({ looks, commits }: LagTrace, at: number): Truth | null {
  const round = looks.slice(at, at + 2);
  const primary = round.find(([end, , , saw]) => end === 'r1' && saw[0] === 'primary');
  const standby = round.find(([end, , , saw]) => end === 'r2' && saw[0] === 'standby');
  if (primary === undefined || standby === undefined || standby[3][0] !== 'standby') return null;
  const [, sentMs, receivedMs] = primary;
  const replayed = standby[3][4];
  const missing = commits.filter(([ackMs, position]) => ackMs <= sentMs && (lsnDiffBytes(position, replayed) ?? 0) > 0);
  const [oldest] = missing;
  const before = looks.slice(0, at).filter(([end]) => end === 'r1').map(([, sent]) => sent);
  const gapMs = Math.max(0, ...[...before, sentMs].map((sent, index, all) => sent - (all[index - 1] ?? sent)));
  return { missing: missing.length, leastMs: oldest === undefined ? 0 : sentMs - oldest[0], mostMs: oldest === undefined ? Infinity : receivedMs - oldest[0] + gapMs + APART_MS };
}

function isTrue([, , bytes, milliseconds]: Said, truth: Truth | null): boolean {
  if (truth === null || truth.missing === 0) return true;
  if (bytes === null || milliseconds === null) return true;
  return bytes > 0 && milliseconds >= truth.leastMs - ROUNDING_MS && milliseconds <= truth.mostMs;
}

// --- the model ---------------------------------------------------------------------------------------------------------

/** What one look shows, of the servers and of the model alike. */
type Look = {
  readonly end: 'r1' | 'r2';
  readonly atMs: number;
  readonly role: string;
  /** How often its timeline has changed. */
  readonly timelines: number;
  /** r1: its standby's connection streams. r2: its receiver does. */
  readonly streaming: boolean;
  /** r2: received and replayed positions are equal. */
  readonly equal: boolean | null;
  readonly paused: boolean | null;
  /** Commits that the standby has not replayed; null when nobody could tell. */
  readonly behind: number | null;
  /** r1: of its standby. r2: of itself. As a controller judges it. */
  readonly verdict: string;
};

function lookOf(end: Look['end'], atMs: number, seen: DatabaseObservation, behind: number | null, evidence: MemberEvidence): Look {
  const standby = seen.standbys.find((one) => one.region === 'r2');
  const judged = end === 'r1' ? evidence.followers['r2'] : evidence.own;
  return {
    end,
    atMs,
    role: seen.role,
    timelines: (seen.timeline ?? 1) - 1,
    streaming: end === 'r1' ? standby?.state === 'streaming' : seen.receiver?.streaming === true,
    equal: end === 'r1' || seen.role === 'primary' ? null : seen.lsn === seen.replayLsn,
    paused: seen.replayPaused,
    behind: seen.role === 'primary' && end === 'r2' ? null : behind,
    verdict: judged === null || judged === undefined ? 'none' : nameOf(judged.verdict),
  };
}

function ofServers(trace: LagTrace): Look[] {
  const evidence: Record<string, MemberEvidence> = { r1: NO_EVIDENCE, r2: NO_EVIDENCE };
  return trace.looks.flatMap((row) => {
    const { end, sentMs, outcome } = probeOf(row);
    if (!outcome.ok || outcome.sample.role === 'exporter') return [];
    const seen = observationOf(outcome.sample);
    evidence[end] = absorbObservation(evidence[end] ?? NO_EVIDENCE, seen, sentMs, LIMITS);
    const replayed = end === 'r1' ? (seen.standbys[0]?.replayLsn ?? null) : seen.replayLsn;
    const acknowledged = trace.commits.filter(([ackMs]) => ackMs <= sentMs);
    const behind = replayed === null ? null : acknowledged.filter(([, position]) => (lsnDiffBytes(position, replayed) ?? 0) > 0).length;
    return [lookOf(row[0], sentMs, seen, behind, evidence[end] ?? NO_EVIDENCE)];
  });
}

function observationOf(sample: PrimarySample | StandbySample): DatabaseObservation {
  return { ...viewOf(sample), role: sample.role, shape: sample.role, synchronous: [], epoch: 0, recordedEpoch: 0, problem: null };
}

function ofModel(trace: LagTrace): Look[] {
  const { sim, r1, r2, carryOut } = modelPair();
  const evidence: Record<string, MemberEvidence> = { r1: NO_EVIDENCE, r2: NO_EVIDENCE };
  const looks: Look[] = [];
  for (const [atMs, step] of trace.steps) sim.at(WARM_UP_MS + atMs, () => carryOut(step));
  for (const [index, [atMs]] of trace.commits.entries()) sim.at(WARM_UP_MS + atMs, () => r1.commit(index + 1, false, () => undefined));
  for (const [end, sentMs] of trace.looks) {
    sim.at(WARM_UP_MS + sentMs, () => {
      const seen = (end === 'r1' ? r1 : r2).observe();
      evidence[end] = absorbObservation(evidence[end] ?? NO_EVIDENCE, seen, monoMs(sentMs), LIMITS);
      const bytes = end === 'r1' ? (seen.standbys[0]?.replayLagBytes ?? null) : lsnDiffBytes(r1.observe().lsn, seen.replayLsn);
      looks.push(lookOf(end, sentMs, seen, bytes === null ? null : bytes / BYTES_PER_ENTRY, evidence[end] ?? NO_EVIDENCE));
    });
  }
  sim.runUntil(WARM_UP_MS + 10_000);
  return looks;
}

/** r1 the primary, r2 streaming from it without anybody waiting for it, as in the recorded pair. */
function modelPair(): { sim: Simulation; r1: Database; r2: Database; carryOut: (step: Step) => void } {
  const sim = new Simulation(1, false);
  const nothing = (): void => undefined;
  const hooks = { promoted: nothing, acknowledged: nothing, epochTaken: nothing, diverged: nothing, streams: nothing, demoted: nothing, discarded: nothing };
  // As the recorded pair is set up: wal_sender_timeout 5 s, wal_retrieve_retry_interval 100 ms.
  const times = { streamTimeoutMs: 5_000, reconnectMs: 100, startMs: 100, promoteMs: 50, stopMs: 50, rewindMs: 500, copyMs: 1_000 };
  const [r1, r2] = (['r1', 'r2'] as const).map((name) => new Database(sim, new Machine(sim, name, 0, 0), name, `${name}:5432`, times, hooks)) as [Database, Database];
  const links = [new Link(sim, 'r1>r2', 1), new Link(sim, 'r2>r1', 1)] as const;
  r1.links.set('r2', links[0]);
  r2.links.set('r1', links[1]);
  r1.initialise('7300000000000000001');
  r1.process.start();
  r1.runAsPrimary();
  r2.head = r1.head;
  r2.replayed = r1.head;
  r2.process.start();
  r2.runAsStandby(r1);
  const operator = new DatabaseOperator(r2, new Map([['r1', r1]]));
  const carryOut = (step: Step): void => {
    switch (step) {
      case 'freeze-receiver':
        return r2.freezeReceiver();
      case 'thaw-receiver':
        return r2.thawReceiver();
      case 'cut-link':
      case 'slow-link':
        // What is sent waits, as in a socket: nothing is lost of a stream that stands.
        return links.forEach((link) => link.clog());
      case 'heal-link':
      case 'fast-link':
        return links.forEach((link) => link.unclog());
      case 'pause-replay':
        r2.faults.replayPaused = true;
        return;
      case 'resume-replay':
        r2.faults.replayPaused = false;
        return r2.receive();
      case 'promote-r2':
        return operator.run({ kind: 'promote', epoch: epoch(1), token: null }, 5_000, nothing);
    }
  };
  return { sim, r1, r2, carryOut };
}

/** What the model shows and the servers did not, at any look of that end within the tolerance. */
function differences({ name }: LagTrace, real: readonly Look[], model: Look): object[] {
  const near = (apartMs: number): Look[] => real.filter((one) => one.end === model.end && Math.abs(one.atMs - model.atMs) <= apartMs);
  const window = near(APART_MS);
  const missing: string[] = (['role', 'timelines', 'streaming', 'equal', 'paused'] as const).filter((field) => !window.some((one) => one[field] === model[field]));
  const slow = name === 'slow-link';
  if (!slow && !near(VERDICT_APART_MS).some((one) => one.verdict === model.verdict)) missing.push('verdict');
  const counts = window.flatMap((one) => (one.behind === null ? [] : [one.behind]));
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  const spare = COMMITS_APART + (slow ? most * SLOW_LINK_SHARE : 0);
  const off = model.behind !== null && counts.length > 0 && (model.behind < least - spare || model.behind > most + spare);
  if (missing.length === 0 && !off) return [];
  return [{ ...model, differs: [...missing, ...(off ? [`behind, ${least} to ${most} seen`] : [])], window: window.map((one) => one.verdict).join() }];
}
