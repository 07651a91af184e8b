// What a controller makes of a lag prober's report: an objection while it is fresh, figures that grow old, one sentence.

import t from 'tap';
import { monoMs } from '../types.ts';
import { reading, unknownReading } from './reading.ts';
import { lossSentence, objectionTo, reportGoodUntilMs, reportNow } from './reported.ts';
import type { GivenReport, ReportedStandby } from './reported.ts';
import type { Verdict } from './verdict.ts';

const of = { ageMs: 100, source: 'both-ends', confidence: 'bounded' } as const;
const STANDBY: ReportedStandby = {
  name: 'r2',
  verdict: { kind: 'promotable' },
  verdictForMs: 5_000,
  syncState: 'async',
  lag: { bytes: reading('bytes', 640, of), milliseconds: reading('milliseconds', 40, of) },
  loss: { bytes: reading('bytes', 320, of), milliseconds: reading('milliseconds', 1_500, of), commits: reading('commits', 12, of) },
};
const STALLED: Verdict = { kind: 'notPromotable', reason: 'receiver-stalled', detail: 'nothing moves' };

function given(change: Partial<ReportedStandby> = {}, intervalMs = 1_000): GivenReport {
  const report = { cluster: 'shop', intervalMs, primary: { name: 'r1', ageMs: 100 }, standbys: [{ ...STANDBY, ...change }] };
  return { report, receivedMs: monoMs(10_000) };
}

t.test('an objection counts while it is fresh, only against whom it names, and nothing else is one', async (t) => {
  const stalled = given({ verdict: STALLED });
  t.same(objectionTo(stalled, 'r2', monoMs(10_200)), { reason: 'receiver-stalled', detail: 'nothing moves', ageMs: 200 });
  t.equal(objectionTo(stalled, 'r1', monoMs(10_200)), null);
  t.equal(reportGoodUntilMs(stalled), 12_500);
  t.ok(objectionTo(stalled, 'r2', monoMs(12_499)));
  t.equal(objectionTo(stalled, 'r2', monoMs(12_500)), null, 'a prober that fell silent keeps nobody out');
  t.equal(reportGoodUntilMs(given({}, 100)), 11_000, 'a second at least');
  for (const verdict of [{ kind: 'promotable' }, { kind: 'unknown', reason: 'primary-silent', detail: '' }] as const) {
    t.equal(objectionTo(given({ verdict }), 'r2', monoMs(10_200)), null, verdict.kind);
  }
  t.equal(objectionTo(null, 'r2', monoMs(0)), null);
});

t.test('every age grows, and what a silent prober said is not known any more', async (t) => {
  const later = reportNow(given(), monoMs(10_400));
  t.match(later, { fresh: true, ageMs: 400, primary: { ageMs: 500 }, standbys: [{ verdict: { kind: 'promotable' }, verdictForMs: 5_400 }] });
  t.match(later.standbys[0], { lag: { bytes: { value: 640, ageMs: 500 }, milliseconds: { value: 40, ageMs: 500 } }, loss: { commits: { value: 12, ageMs: 500 } } });
  const silent = reportNow(given(), monoMs(20_000));
  t.match(silent, { fresh: false, standbys: [{ verdict: { kind: 'unknown', reason: 'standby-silent', detail: 'the lag prober was last heard 10.0 s ago' }, verdictForMs: null }] });
  t.same([12_499, 12_500].map((ms) => reportNow(given(), monoMs(ms)).fresh), [true, false]);
  t.equal(reportNow(given({ verdictForMs: null }), monoMs(10_400)).standbys[0]?.verdictForMs, null, 'one that was never judged has no age');
  const lost = { ...STANDBY.lag, bytes: unknownReading('bytes', 'the standby names no position', 100) };
  t.same(reportNow(given({ lag: lost }), monoMs(20_000)).standbys[0]?.lag.bytes, unknownReading('bytes', 'the standby names no position', 10_100), 'what was unknown keeps its reason');
  const { lag, loss } = silent.standbys[0] ?? STANDBY;
  for (const figure of [lag.bytes, lag.milliseconds, loss.bytes, loss.milliseconds, loss.commits]) {
    t.match(figure, { value: null, confidence: 'none', ageMs: 10_100, reason: 'the lag prober was last heard 10.0 s ago' }, `${figure.unit} is unknown, not what it was`);
  }
  const weak = { ageMs: 3_000, source: 'both-ends', confidence: 'weak' } as const;
  const estimate = { ...STANDBY.loss, milliseconds: reading('milliseconds', 3_100, weak) };
  t.match(reportNow(given({ loss: estimate }), monoMs(20_000)).standbys[0]?.loss.milliseconds, { value: 3_100, ageMs: 13_000, confidence: 'weak' }, 'an estimate is all that is left');
});

t.test('what a forced takeover would lose, in one sentence, and never nothing of what is not known', async (t) => {
  const at = monoMs(10_400);
  t.equal(lossSentence(given(), 'r2', at), 'would lose: at most 12 transactions, the last 1.5 s, measured 0.5 s ago (both-ends, bounded), says the lag prober, heard 0.4 s ago');
  const told = { ...STANDBY.loss, commits: reading('commits', 12, { ageMs: 100, source: 'primary', confidence: 'weak' }) };
  t.match(lossSentence(given({ loss: told }), 'r2', at), /\(both-ends, bounded\)/, 'the time says on whose word, while one is known');
  const none = { bytes: reading('bytes', 0, of), milliseconds: reading('milliseconds', 0, of), commits: reading('commits', 0, of) };
  t.match(lossSentence(given({ loss: none }), 'r2', at), /^would lose: nothing was missing, measured 0\.5 s ago/);
  const unknown = { bytes: unknownReading('bytes', 'no primary', null), milliseconds: unknownReading('milliseconds', 'no primary', null), commits: unknownReading('commits', 'no primary', null) };
  for (const sentence of [
    lossSentence(null, 'r2', at),
    lossSentence(given(), 'r1', at),
    lossSentence(given({ loss: unknown }), 'r2', at),
    lossSentence(given({ loss: none }), 'r2', monoMs(20_000)),
  ]) {
    t.match(sentence, /^what would be lost is unknown/);
    t.notMatch(sentence, /nothing|(^| )0 (transactions|s|bytes)/);
  }
});

t.test('a prober that never saw a primary says so; where no time is known the transactions say on whose word', async (t) => {
  const seen = given();
  const blind: GivenReport = { ...seen, report: { ...seen.report, primary: null } };
  t.equal(reportNow(blind, monoMs(10_400)).primary, null);
  const counted = { ...STANDBY.loss, milliseconds: unknownReading('milliseconds', 'too old', null), commits: reading('commits', 12, { ageMs: 100, source: 'primary', confidence: 'weak' }) };
  t.equal(lossSentence(given({ loss: counted }), 'r2', monoMs(10_400)), 'would lose: about 12 transactions (primary, weak), says the lag prober, heard 0.4 s ago');
});
