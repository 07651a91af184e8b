// The measuring core: each situation by example, then random histories of a pair against the truth that only the test knows.

import fc from 'fast-check';
import t from 'tap';
import { lsn, monoMs } from '../types.ts';
import type { Lsn } from '../types.ts';
import { factsOf } from './figures.ts';
import { absorbProbe, newCluster } from './measure.ts';
import { reportCluster } from './report.ts';
import type { StandbyReport } from './report.ts';
import type { ExporterSample, PrimarySample, ProbeOutcome, StandbySample } from './sample.ts';
import type { ClusterSettings, ClusterState } from './state.ts';
import { entryCount } from './time-map.ts';
import { judgeStandby } from './verdict.ts';

const INTERVAL_MS = 1_000;
const SETTINGS: ClusterSettings = {
  name: 'shop',
  ends: [
    { name: 'r1', applicationName: 'r1', slot: null },
    { name: 'r2', applicationName: 'r2', slot: null },
  ],
  limits: {
    evidenceAgeMaxMs: 2_500,
    lossMaxBytes: 1_000_000,
    lossMaxMs: 5_000,
    stallMinMs: 900,
    replayLagMaxBytes: 1_000_000,
    replayLagMaxMs: 5_000,
  },
  thresholds: { up: 3, ok: 3, down: 2 },
};
const SYSTEM = '7300000000000000001';
/** The machines' clocks have nothing to do with each other, nor with the prober's. */
const PRIMARY_CLOCK_MS = 1_700_000_000_000;

const at = (bytes: number | bigint): Lsn => lsn(`${(BigInt(bytes) >> 32n).toString(16)}/${(BigInt(bytes) & 0xffffffffn).toString(16)}`.toUpperCase());

/** A pair under a prober that looks at both ends every interval. */
class Watched {
  state: ClusterState;
  nowMs = 50_000;
  primary: PrimarySample;
  standby: StandbySample;
  /** What an end answers instead. */
  answers: Record<string, ProbeOutcome | null> = { r1: null, r2: null };
  clockStepMs = 0;
  order = ['r1', 'r2'];

  constructor(settings: ClusterSettings = SETTINGS) {
    this.state = newCluster(settings);
    this.primary = {
      role: 'primary',
      systemIdentifier: SYSTEM,
      timeline: 1,
      clockMs: 0,
      lsn: at(1_000),
      nextXid: 100,
      walsenders: [{ name: 'r2', state: 'streaming', syncState: 'async', flushLsn: at(1_000), replayLsn: at(1_000) }],
      slots: [],
      synchronous: '',
      syncWaiters: 0,
      syncWaitMsMax: null,
      weakSettings: 0,
      beat: null,
    };
    this.standby = {
      role: 'standby',
      systemIdentifier: SYSTEM,
      timeline: 1,
      clockMs: 12,
      receiveLsn: at(1_000),
      replayLsn: at(1_000),
      lastReplayedCommitMs: null,
      receiver: { streaming: true, source: '127.10.0.1:5432', messageAgeMs: 100 },
      replayPaused: false,
      applyDelayMs: 0,
      conflicts: 0,
      beat: null,
    };
  }

  look(rounds = 1, name = 'r2'): StandbyReport {
    for (let round = 0; round < rounds; round++) {
      this.nowMs += INTERVAL_MS;
      const primary = { ...this.primary, clockMs: PRIMARY_CLOCK_MS + this.nowMs + this.clockStepMs };
      for (const end of this.order) this.#probe(end, { ok: true, sample: end === 'r1' ? primary : this.standby });
    }
    return this.report(name);
  }

  report(name = 'r2'): StandbyReport {
    const found = reportCluster(this.state, monoMs(this.nowMs)).standbys.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no report of ${name}`);
    return found;
  }

  write(bytes: number, commits = 1): void {
    this.primary = { ...this.primary, lsn: at(BigInt(bytesOf(this.primary.lsn)) + BigInt(bytes)), nextXid: (this.primary.nextXid ?? 0) + commits };
  }

  catchUp(): void {
    this.standby = { ...this.standby, receiveLsn: this.primary.lsn, replayLsn: this.primary.lsn };
  }

  #probe(end: string, outcome: ProbeOutcome): void {
    const given = this.answers[end] ?? outcome;
    this.state = absorbProbe(this.state, { end, sentMs: monoMs(this.nowMs), receivedMs: monoMs(this.nowMs + 1), outcome: given });
  }
}

const bytesOf = (position: string): bigint => {
  const [high = '0', low = '0'] = position.split('/');
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
};
const why = ({ verdict }: StandbyReport): string => (verdict.kind === 'promotable' ? verdict.kind : verdict.reason);
const TIMEOUT: ProbeOutcome = { ok: false, code: 'CTM_PROBE_TIMEOUT', message: 'no answer in time' };

t.test('before anything was measured everything is unknown, and nothing is 0', async (t) => {
  const report = new Watched().report();
  t.same(report.verdict, { kind: 'unknown', reason: 'never-measured', detail: 'not measured yet' });
  const figures = [report.lag.bytes, report.lag.milliseconds, report.loss.bytes, report.loss.milliseconds, report.loss.commits];
  for (const figure of figures) t.match(figure, { value: null, confidence: 'none' });
  t.match(report.loss.text, /^unknown/);
});

t.test('an idle pair that streams: 0, proven from both ends, with an age', async (t) => {
  const pair = new Watched();
  t.equal(why(pair.look(2)), 'never-measured', 'two good looks are not enough');
  t.equal(why(pair.look()), 'promotable', 'three are');
  pair.nowMs += 700;
  const { lag, loss } = pair.report();
  t.same(lag.milliseconds, { value: 0, unit: 'milliseconds', ageMs: 700, source: 'both-ends', confidence: 'proven', reason: null });
  t.match(loss, { bytes: { value: 0, confidence: 'proven' }, commits: { value: 0 }, text: 'nothing was missing, measured 0.7 s ago' });
});

t.test('idle for an hour and then one commit: its age counts from the commit, not from the hour', async (t) => {
  const pair = new Watched();
  pair.look(3_600);
  pair.write(120);
  const report = pair.look();
  t.equal(report.lag.milliseconds.value, INTERVAL_MS, 'written since the look before');
  t.equal(report.lag.bytes.value, 120);
  t.equal(report.loss.commits.value, 1);
});

t.test('a frozen receiver: seen one look after the write, and the lag grows although its own positions are equal', async (t) => {
  const pair = new Watched();
  pair.look(5);
  pair.write(120, 3);
  t.equal(why(pair.look()), 'promotable', 'the first look may have come in between');
  t.equal(why(pair.look()), 'receiver-stalled');
  t.equal(pair.report().lag.milliseconds.value, 2 * INTERVAL_MS);
  t.match(pair.look(10), { lag: { milliseconds: { value: 12 * INTERVAL_MS } }, loss: { commits: { value: 3 }, text: /at most 3 transactions, the last 12.0 s/ } });
  pair.catchUp();
  t.equal(pair.look().lag.milliseconds.value, 0);
  t.equal(why(pair.report()), 'receiver-stalled', 'one good look is not enough');
  t.equal(why(pair.look(2)), 'promotable');
});

t.test('a slow receiver that gets on is behind, not stalled', async (t) => {
  const pair = new Watched();
  pair.look(3);
  for (let round = 0; round < 20; round++) {
    pair.standby = { ...pair.standby, receiveLsn: pair.primary.lsn, replayLsn: pair.primary.lsn };
    pair.write(5_000);
    t.equal(why(pair.look()), 'promotable');
  }
  t.equal(pair.report().lag.milliseconds.value, INTERVAL_MS);
});

t.test('without the primary nothing is known, and what is left is called an estimate', async (t) => {
  const pair = new Watched();
  for (let round = 0; round < 10; round++) {
    pair.write(100, 5);
    pair.catchUp();
    pair.look();
  }
  pair.answers['r1'] = TIMEOUT;
  t.equal(why(pair.look(2)), 'promotable', 'two intervals are within the age that evidence may have');
  const report = pair.look();
  t.match(report.verdict, { kind: 'unknown', reason: 'primary-silent' });
  t.match(report.lag, { bytes: { value: null }, milliseconds: { value: null } });
  t.match(report.loss, { bytes: { value: null }, milliseconds: { value: 3_000, confidence: 'weak' }, commits: { value: 15, confidence: 'weak' } });
  t.match(report.loss.text, /^estimated: about 15 transactions/);
});

t.test('without any look at all everything grows old and then unknown', async (t) => {
  const pair = new Watched();
  pair.look(5);
  pair.nowMs += 2_600;
  t.match(pair.report(), { verdict: { kind: 'unknown', reason: 'standby-silent' }, lag: { bytes: { value: null } } });
});

t.test('a standby that does not answer: one lost answer changes nothing, the second does', async (t) => {
  const pair = new Watched();
  pair.look(5);
  pair.answers['r2'] = TIMEOUT;
  t.equal(why(pair.look()), 'promotable');
  t.not(why(pair.look()), 'promotable');
  const later = pair.look(2);
  t.match(later.verdict, { kind: 'unknown', reason: 'standby-silent', detail: /CTM_PROBE_TIMEOUT/ });
  t.match(later.lag.bytes, { value: 0, source: 'primary' }, 'what it confirmed to its primary still counts as a figure');
});

t.test('a fork: equal positions on other timelines are not "nothing missing"', async (t) => {
  const pair = new Watched();
  pair.look(5);
  pair.primary = { ...pair.primary, timeline: 2 };
  t.match(pair.look(), { verdict: { kind: 'promotable' }, newest: { reason: 'timeline-behind' }, lag: { bytes: { value: null } } });
  t.equal(why(pair.look()), 'timeline-behind');
  pair.standby = { ...pair.standby, timeline: 3 };
  t.equal(why(pair.look()), 'timeline-ahead', 'beyond doubt: at once');
});

t.test('the same timeline number without ever having streamed from this primary proves nothing', async (t) => {
  const pair = new Watched();
  pair.primary = { ...pair.primary, walsenders: [] };
  t.match(pair.look(5), { verdict: { reason: 'history-unproven' }, lag: { bytes: { value: null }, milliseconds: { value: null } } });
});

t.test('a walsender of somebody else who uses its name proves nothing of an end that was a primary itself then', async (t) => {
  const pair = new Watched();
  pair.primary = { ...pair.primary, timeline: 2 };
  pair.answers['r2'] = { ok: true, sample: { ...pair.primary, timeline: 1, clockMs: 5 } };
  pair.look(3);
  pair.answers['r2'] = null;
  pair.standby = { ...pair.standby, timeline: 2 };
  pair.primary = { ...pair.primary, walsenders: [] };
  t.match(pair.look(), { verdict: { reason: 'history-unproven' }, lag: { bytes: { value: null } } });
});

t.test('after a timeline switch the old map is not asked', async (t) => {
  const pair = new Watched();
  pair.look(5);
  pair.primary = { ...pair.primary, timeline: 2 };
  pair.standby = { ...pair.standby, timeline: 2 };
  pair.write(300);
  const { lag } = pair.look();
  t.equal(lag.bytes.value, 300);
  t.equal(lag.milliseconds.value, null, 'the new map knows no time before it began');
  pair.catchUp();
  t.equal(pair.look().lag.milliseconds.value, 0);
});

t.test('two primaries of one timeline, another cluster, a primary of an older timeline', async (t) => {
  const two = new Watched();
  two.look(5);
  two.answers['r2'] = { ok: true, sample: { ...two.primary, clockMs: PRIMARY_CLOCK_MS } };
  t.equal(why(two.look()), 'two-primaries');
  t.match(two.report().lag.bytes, { value: null });

  const foreign = new Watched();
  foreign.look(5);
  foreign.standby = { ...foreign.standby, systemIdentifier: '7300000000000000002' };
  t.equal(why(foreign.look()), 'foreign-cluster');
  t.match(foreign.report().lag, { bytes: { value: null, reason: /system identifier/ }, milliseconds: { value: null } });

  const old = new Watched();
  old.look(5);
  old.answers['r2'] = { ok: true, sample: { ...old.primary, timeline: 2, clockMs: 5 } };
  old.look(1, 'r1');
  t.equal(why(old.report('r1')), 'another-primary');
});

t.test('two primaries: what a third end misses is not known either', async (t) => {
  const pair = new Watched({ ...SETTINGS, ends: [...SETTINGS.ends, { name: 'r3', applicationName: 'r3', slot: null }] });
  pair.primary = { ...pair.primary, walsenders: [...pair.primary.walsenders, { name: 'r3', state: 'streaming', syncState: 'async', flushLsn: at(1_000), replayLsn: at(1_000) }] };
  pair.look(5);
  t.equal(pair.report('r3').lag.bytes.value, 0);
  pair.answers['r2'] = { ok: true, sample: { ...pair.primary, clockMs: PRIMARY_CLOCK_MS } };
  t.match(pair.look(1, 'r3'), { verdict: { reason: 'two-primaries' }, lag: { bytes: { value: null } }, loss: { bytes: { value: null } } });
});

t.test('a standby that is silent and has no walsender any more: its last position is no figure', async (t) => {
  const pair = new Watched();
  pair.look(5);
  pair.primary = { ...pair.primary, walsenders: [] };
  pair.answers['r2'] = TIMEOUT;
  t.match(pair.look(4), { verdict: { reason: 'standby-silent' }, lag: { bytes: { value: null, reason: /last measured/ } } });
});

t.test('whichever end answers first, a stall is seen at the second look', async (t) => {
  const pair = new Watched();
  pair.order = ['r2', 'r1'];
  pair.look(5);
  pair.write(120);
  t.equal(why(pair.look()), 'promotable');
  t.equal(why(pair.look()), 'receiver-stalled');
});

t.test('after a restart the receiver names the start of a segment: what was replayed is there all the same', async (t) => {
  const pair = new Watched();
  pair.standby = { ...pair.standby, receiveLsn: at(512) };
  t.match(pair.look(), { loss: { bytes: { value: 0 } } });
  pair.standby = { ...pair.standby, receiveLsn: null };
  t.match(pair.look(), { loss: { bytes: { value: 0 } } });
  pair.standby = { ...pair.standby, receiveLsn: null, replayLsn: null };
  t.match(pair.look(), { loss: { bytes: { value: null } }, lag: { bytes: { value: null } } });
});

t.test('a weak figure never makes a standby promotable', async (t) => {
  const pair = new Watched();
  pair.look(3);
  const facts = factsOf(pair.state, 'r2', monoMs(pair.nowMs));
  t.same(judgeStandby(facts), { kind: 'promotable' });
  for (const figure of ['lossBytes', 'lossMs', 'lagBytes', 'lagMs'] as const) {
    t.match(judgeStandby({ ...facts, [figure]: { ...facts[figure], confidence: 'weak' } }), { kind: 'unknown', reason: 'weak-evidence-only' });
  }
});

t.test('replay: paused is refused at once, delayed apply only past its limit', async (t) => {
  const pair = new Watched();
  pair.look(5);
  pair.standby = { ...pair.standby, replayPaused: true };
  t.equal(why(pair.look()), 'replay-paused');
  pair.standby = { ...pair.standby, replayPaused: false, applyDelayMs: 60_000 };
  t.equal(why(pair.look(3)), 'promotable');
  for (let round = 0; round < 8; round++) {
    pair.write(10);
    pair.standby = { ...pair.standby, receiveLsn: pair.primary.lsn };
    pair.look();
  }
  t.match(pair.report(), { verdict: { reason: 'replay-lag-over-limit' }, loss: { bytes: { value: 0, confidence: 'proven' } } });
  t.equal(pair.report().lag.milliseconds.value, 8 * INTERVAL_MS);
});

t.test('the stream is gone, with and without its slot', async (t) => {
  const pair = new Watched({ ...SETTINGS, ends: [SETTINGS.ends[0] as ClusterSettings['ends'][0], { name: 'r2', applicationName: 'r2', slot: 'r2_slot' }] });
  const slot = { name: 'r2_slot', active: true, walStatus: 'reserved', retainedBytes: 0 };
  pair.primary = { ...pair.primary, slots: [slot] };
  t.equal(why(pair.look(3)), 'promotable');
  pair.primary = { ...pair.primary, walsenders: [] };
  t.equal(why(pair.look()), 'promotable', 'it may be reconnecting');
  t.equal(why(pair.look()), 'not-streaming');
  pair.primary = { ...pair.primary, slots: [{ ...slot, walStatus: 'lost' }] };
  t.equal(why(pair.look()), 'slot-lost');
  pair.primary = { ...pair.primary, slots: [] };
  t.equal(why(pair.look()), 'slot-lost', 'dropped is as bad');
});

t.test('an exporter alone never makes a standby promotable, and its 0 without a receiver is not believed', async (t) => {
  const pair = new Watched();
  const primary: ExporterSample = { role: 'exporter', inRecovery: false, receiverUp: null, walsenders: [{ name: 'r2', replayBytes: 0, replayLagMs: null }] };
  const standby: ExporterSample = { role: 'exporter', inRecovery: true, receiverUp: true, walsenders: [] };
  pair.answers = { r1: { ok: true, sample: primary }, r2: { ok: true, sample: standby } };
  t.match(pair.look(9), { verdict: { reason: 'weak-evidence-only' }, lag: { bytes: { value: 0, source: 'exporter', confidence: 'weak' } }, loss: { bytes: { value: null } } });
  pair.answers['r1'] = { ok: true, sample: { ...primary, walsenders: [] } };
  t.match(pair.look(), { lag: { bytes: { value: null }, milliseconds: { value: null } } });
  pair.answers['r1'] = { ok: true, sample: { ...primary, walsenders: [{ name: 'r2', replayBytes: 500, replayLagMs: 0 }] } };
  t.match(pair.look(), { lag: { bytes: { value: 500 }, milliseconds: { value: null } } }, 'bytes behind and 0 ms behind cannot both be');
});

t.test('the high word of a position changes: 4 GiB boundaries are crossed without a jump', async (t) => {
  const pair = new Watched();
  pair.primary = { ...pair.primary, lsn: lsn('7/FFFFFF00') };
  pair.catchUp();
  pair.look(3);
  pair.write(0x200);
  t.equal(pair.primary.lsn, '8/100');
  t.match(pair.look(), { lag: { bytes: { value: 0x200 }, milliseconds: { value: INTERVAL_MS } } });
});

t.test('the primary steps its clock: lag neither jumps nor vanishes', async (t) => {
  for (const stepMs of [3_600_000, -3_600_000, 90, -90]) {
    const pair = new Watched();
    pair.look(10);
    pair.write(100);
    pair.look();
    pair.clockStepMs = stepMs;
    const { value } = pair.look().lag.milliseconds;
    t.ok(value !== null && value >= 2_000 && value <= 2_000 + 3, `${stepMs} ms: ${value}`);
  }
});

t.test('a prober that was just started knows the lag of a standby that is behind from its last commit, or not at all', async (t) => {
  const pair = new Watched();
  pair.write(500);
  t.match(pair.look().lag, { bytes: { value: 500 }, milliseconds: { value: null } });
  pair.standby = { ...pair.standby, lastReplayedCommitMs: PRIMARY_CLOCK_MS + pair.nowMs - 41_000 };
  t.match(pair.look().lag.milliseconds, { value: 42_000, confidence: 'bounded' });
  pair.clockStepMs = 3_600_000;
  t.match(pair.look().lag.milliseconds, { value: null }, 'a time stamp from before the clock was stepped is none');
});

t.test('an answer that comes late changes nothing', async (t) => {
  const pair = new Watched();
  pair.look(3);
  const late = absorbProbe(pair.state, { end: 'r2', sentMs: monoMs(1), receivedMs: monoMs(2), outcome: { ok: true, sample: { ...pair.standby, replayPaused: true } } });
  t.equal(late, pair.state);
});

/** One event of a random history: time passes, the primary writes, the standby receives and replays some of what there is. */
const event = fc.record({
  afterMs: fc.integer({ min: 1, max: 400 }),
  writeBytes: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 5_000_000 })),
  receiveShare: fc.constantFrom(0, 0, 0.3, 1),
  replayShare: fc.constantFrom(0, 0.5, 1),
  clockStepMs: fc.oneof({ weight: 20, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -100_000, max: 100_000 }) }),
  lost: fc.constantFrom('', '', '', '', 'r1', 'r2'),
});

t.test('random histories: never a false zero, never less than the truth, never more than the truth and the looks around it', async (t) => {
  const run = (events: readonly (typeof event extends fc.Arbitrary<infer E> ? E : never)[]): void => {
    const truth: { endBytes: number; atMs: number }[] = [];
    const pair = new Watched();
    let [written, received, replayed] = [1_000, 1_000, 1_000];
    let trueMs = pair.nowMs;
    let lastPrimaryMs = 0;
    let gapMs = 0;
    let hiddenMs = 0;
    for (const { afterMs, writeBytes, receiveShare, replayShare, clockStepMs, lost } of events) {
      trueMs += afterMs;
      if (writeBytes > 0) truth.push({ endBytes: (written += writeBytes), atMs: trueMs });
      received += Math.floor((written - received) * receiveShare);
      replayed += Math.floor((received - replayed) * replayShare);
      pair.clockStepMs += clockStepMs;
      // A step as small as the noise between two reads of a clock cannot be seen, and is in every age from then on.
      if (lastPrimaryMs > 0) hiddenMs += Math.min(Math.abs(clockStepMs), 20 + 0.01 * (trueMs + 1_000 - lastPrimaryMs));
      pair.primary = { ...pair.primary, lsn: at(written) };
      pair.standby = { ...pair.standby, receiveLsn: at(received), replayLsn: at(replayed) };
      pair.answers = { r1: lost === 'r1' ? TIMEOUT : null, r2: lost === 'r2' ? TIMEOUT : null };
      trueMs += 1_000;
      pair.nowMs = trueMs - INTERVAL_MS;
      const { lag, loss } = pair.look();
      if (lost !== 'r1') {
        gapMs = Math.max(gapMs, trueMs - lastPrimaryMs);
        if (lastPrimaryMs === 0) gapMs = 0;
        lastPrimaryMs = trueMs;
      }
      if (lost !== '') continue;
      const oldest = truth.find(({ endBytes }) => endBytes > replayed);
      const trueLagMs = oldest === undefined ? 0 : trueMs - oldest.atMs;
      if (lag.bytes.value !== written - replayed) throw new Error(`bytes ${lag.bytes.value}, true ${written - replayed}`);
      if (loss.bytes.value !== written - received) throw new Error(`loss ${loss.bytes.value}, true ${written - received}`);
      const { value } = lag.milliseconds;
      if (value === null) continue;
      if ((value === 0) !== (oldest === undefined)) throw new Error(`lag ${value} ms, true ${trueLagMs}`);
      // A step of the clock is taken out to within the two looks' own duration.
      if (value < trueLagMs - 2 - hiddenMs) throw new Error(`lag ${value} ms is less than the truth ${trueLagMs}`);
      if (pair.state.map !== null && entryCount(pair.state.map) < 60 && value > trueLagMs + gapMs + 2 * events.length + 25 + hiddenMs) {
        throw new Error(`lag ${value} ms, true ${trueLagMs}, longest gap ${gapMs}`);
      }
    }
  };
  fc.assert(fc.property(fc.array(event, { minLength: 1, maxLength: 150 }), run), { numRuns: 200 });
  t.pass('200 histories');
});
