// The page says what happened, all of it, and nothing that it is made of can act on the reader's machine.

import { test } from 'tap';
import { headline, renderReport } from './report-html.ts';
import type { DemoEvent, DemoReport, Timeline, WriteRecord } from './timeline.ts';
import { duration, eventWindow, longestGap, spansOf, writesPerBucket } from './timeline.ts';

const write = (id: string, atMs: number, outcome: WriteRecord['outcome'], region: string | null, stored: boolean | null): WriteRecord => ({
  id, atMs, endMs: atMs + 10, outcome, region, stored,
});

const timeline: Timeline = {
  startedAtWallMs: Date.parse('2026-11-20T10:15:00Z'),
  durationMs: 10_000,
  regions: ['r1', 'r2'],
  regionOfAddress: { '127.1.0.1': 'r1', '127.2.0.1': 'r2' },
  kills: [{ atMs: 2_000, region: 'r1' }],
  writes: [
    write('w1', 1_900, 'acknowledged', 'r1', true),
    write('w2', 1_995, 'unknown', null, true),
    write('w3', 2_500, 'refused', null, false),
    write('w4', 4_500, 'acknowledged', 'r2', true),
    write('w5', 8_000, 'acknowledged', 'r1', true),
  ],
  reads: { bucketMs: 100, ok: [0, 20, 20], failed: [0, 0, 3] },
  lease: [{ fromMs: 0, toMs: 4_000, holder: 'r1', epoch: 1 }, { fromMs: 4_000, toMs: 10_000, holder: 'r2', epoch: 2 }],
  gates: [{ region: 'r1', fromMs: 0, toMs: 2_000, mode: 'open' }, { region: 'r2', fromMs: 7_000, toMs: 7_300, mode: 'hold' }],
  databaseRoles: [{ region: 'r1', fromMs: 0, toMs: 2_000, role: 'primary' }, { region: 'r2', fromMs: 0, toMs: 4_100, role: 'standby' }],
  dns: [
    { resolver: '8.8.8.8', fromMs: 0, toMs: 3_000, addresses: ['127.1.0.1'] },
    { resolver: '9.9.9.9', fromMs: 0, toMs: 3_000, addresses: ['127.2.0.1', '127.1.0.1'] },
    { resolver: '1.1.1.1', fromMs: 0, toMs: 3_000, addresses: [] },
  ],
  lag: [
    { region: 'r2', fromMs: 0, toMs: 200, verdict: 'promotable', milliseconds: 12, bytes: 2_048, ageMs: 150 },
    { region: 'r2', fromMs: 200, toMs: 2_000, verdict: 'primary-silent', milliseconds: null, bytes: null, ageMs: 3_000 },
  ],
};

const failover: DemoEvent = {
  kind: 'failover', epochBefore: 1, epochAfter: 2, rtoMs: 2_510, writeGapMs: 2_600, failedRequests: 2,
  phases: [{ name: 'lease runs out', startMs: 2_000, endMs: 4_000 }, { name: 'promote', startMs: 4_000, endMs: 4_300 }],
};
const rejoin: DemoEvent = {
  kind: 'rejoin', epochBefore: 2, epochAfter: 2, rtoMs: null, writeGapMs: 100, failedRequests: 0,
  phases: [{ name: 'rewind', startMs: 5_000, endMs: 6_000 }],
};
const switchover: DemoEvent = {
  kind: 'switchover', epochBefore: 2, epochAfter: 3, rtoMs: 290, writeGapMs: 305, failedRequests: 0,
  phases: [{ name: 'transfer', startMs: 7_000, endMs: 7_300 }],
};

const report: DemoReport = {
  ok: true,
  objective: { rtoMs: 5_000 },
  regions: ['r1', 'r2'],
  durationMs: 10_000,
  writes: { acknowledged: 3, unknown: 1, refused: 1, lost: 0, duplicated: 0 },
  events: [failover, rejoin, switchover],
  checks: [{ name: 'nothing lost (I3)', passed: true, evidence: '3 of 3 in the table' }],
  scenes: [],
  parts: [{ name: 'postgres', version: '15.14' }],
};

test('the page names every event with its phases and their lengths, every check, part and unknown write', async (t) => {
  const page = renderReport(timeline, report);
  for (const text of ['Failover: epoch 1 → 2', 'Rejoin: epoch 2', 'Switchover: epoch 2 → 3', 'lease runs out', '2 s', 'promote', '300 ms',
    'rewind', 'transfer', 'nothing lost (I3)', '3 of 3 in the table', 'postgres', '15.14', 'w2', 'r1 killed', 'writes again after 2.51 s',
    'RTO at the writer', '2.51 s', '305 ms', '8.8.8.8', '1.1.1.1', '9.9.9.9', 'r1 + r2', 'no answer', 'r2 · epoch 2', 'hold', 'standby',
    'lag r2, 1 ms to 10 s', 'r2 has not replayed 12 ms, 2048 bytes, 150 ms old; promotable', 'lag of r2 unknown: primary-silent']) {
    t.ok(page.includes(text), text);
  }
  t.match(page, /Nothing was lost/);
  t.notMatch(page, /undefined|NaN|\[object/);
});

test('a scene stands with its picture and its own promises; the witness is no region', async (t) => {
  const checks = [{ name: 'no failed request', passed: true, evidence: '602 requests' }, { name: 'nobody takes over', passed: false, evidence: '1 grant' }];
  const kills = [...timeline.kills, { atMs: 8_500, region: 'witness' }];
  const page = renderReport({ ...timeline, kills }, { ...report, scenes: [{ name: 'witness lost', fromMs: 8_500, toMs: 9_500, outcome: 'r1 served on for 1 s', checks }] });
  for (const text of ['Witness lost', 'R1 served on for 1 s.', 'witness killed', 'The witness was killed at 8.50 s', '602 requests', '1 grant']) t.ok(page.includes(text), text);
  t.match(page, /mark-good">✓<\/span> <b>no failed request/);
  t.match(page, /mark-bad">✗<\/span> <b>nobody takes over/);
  t.notOk(renderReport(timeline, report).includes('scene-0'));
});

test('the page is whole in itself: no script, no address to fetch, no handler', async (t) => {
  const page = renderReport(timeline, report);
  t.notMatch(page, /<script|javascript:|<link|<iframe|<img|@import|\son\w+=/i);
  t.notMatch(page, /https?:\/\//);
  t.same([...page.matchAll(/url\(([^)]*)\)/g)].map((match) => match[1]).filter((target) => !target?.startsWith('#')), []);
  t.match(page, /Content-Security-Policy" content="default-src 'none'/);
  t.match(page, /prefers-color-scheme: dark/);
  t.match(page, /@media print/);
});

test('text from anywhere in the run stays text', async (t) => {
  const evil = `"><script>alert('x')</script>&\u0000`;
  const everywhere = renderReport(
    {
      ...timeline,
      regions: [evil, 'r2'],
      kills: [{ atMs: 2_000, region: evil }],
      regionOfAddress: { [evil]: evil },
      writes: [{ ...write(evil, 1, 'unknown', evil, null), reason: evil }, write('a', 1_900, 'acknowledged', evil, true)],
      lease: [{ fromMs: 0, toMs: 10_000, holder: evil, epoch: 1 }],
      gates: [{ region: evil, fromMs: 0, toMs: 10_000, mode: 'open' }],
      databaseRoles: [{ region: evil, fromMs: 0, toMs: 10_000, role: 'primary' }],
      dns: [{ resolver: evil, fromMs: 0, toMs: 10_000, addresses: [evil] }],
      lag: [{ region: evil, fromMs: 0, toMs: 10_000, verdict: evil, milliseconds: 5, bytes: 1, ageMs: 1 }, { region: 'r2', fromMs: 0, toMs: 10_000, verdict: evil, milliseconds: null, bytes: null, ageMs: null }],
    },
    {
      ...report,
      ok: false,
      checks: [{ name: evil, passed: false, evidence: evil }],
      parts: [{ name: evil, version: evil }],
      events: [{ ...failover, phases: [{ name: evil, startMs: 0, endMs: 9_000 }] }],
    },
  );
  t.notMatch(everywhere, /<script/i);
  t.notOk(everywhere.includes('\u0000'));
  t.match(everywhere, /&lt;script&gt;/);
  t.ok([...everywhere.matchAll(/<(\w+)/g)].every((tag) => TAGS.has(tag[1] as string)), 'no tag of anybody else');
});

const TAGS = new Set(['html', 'head', 'meta', 'title', 'style', 'body', 'svg', 'defs', 'pattern', 'rect', 'main', 'div', 'h1', 'h2', 'p',
  'ul', 'li', 'b', 'span', 'section', 'g', 'text', 'line', 'path', 'circle', 'table', 'thead', 'tbody', 'tr', 'th', 'td', 'code', 'footer']);

test('the verdict is the worst that is true', async (t) => {
  t.equal(headline(report), 'nothing was lost');
  t.equal(headline({ ...report, ok: false, writes: { ...report.writes, lost: 2, duplicated: 1 } }), '2 acknowledged writes lost');
  t.equal(headline({ ...report, ok: false, writes: { ...report.writes, duplicated: 1 } }), '1 write present twice');
  const broken = { ...report, ok: false, checks: [{ name: 'epochs rise', passed: false, evidence: 'r1 saw 3, 2' }, ...report.checks] };
  t.equal(headline(broken), '1 promise broken');
  t.equal(headline({ ...report, ok: false, writes: { ...report.writes, acknowledged: 0 } }), 'nothing was proved: no write was acknowledged');
  const page = renderReport(timeline, broken);
  t.match(page, /<title>BROKEN: 1 promise broken/);
  t.ok(page.indexOf('r1 saw 3, 2') < page.indexOf('The whole run'), 'what broke stands above the picture');
  t.match(page, /✗ BROKEN/);
});

test('an objective that was missed is marked, and an event without phases or time says so', async (t) => {
  const slow = renderReport(timeline, { ...report, objective: { rtoMs: 1_000 } });
  t.match(slow, /2\.51 s <span class="mark-bad">✗/);
  const bare = renderReport(timeline, { ...report, events: [{ ...failover, rtoMs: null, phases: [] }] });
  t.match(bare, /No phase of it was recorded/);
  t.match(bare, /No write was seen after it/);
});

test('a run that ended at once still gives a page', async (t) => {
  const nothing: Timeline = { ...timeline, durationMs: 0, kills: [], writes: [], reads: { bucketMs: 100, ok: [], failed: [] }, lease: [], gates: [], databaseRoles: [], dns: [], lag: [] };
  const page = renderReport(nothing, { ...report, ok: false, durationMs: 0, writes: { acknowledged: 0, unknown: 0, refused: 0, lost: 0, duplicated: 0 }, events: [], checks: [] });
  t.match(page, /Nothing was proved/);
  t.notMatch(page, /NaN|Infinity/);
});

test('many unknown writes are cut to a list that can be read, and the rest is counted', async (t) => {
  const writes = Array.from({ length: 250 }, (_, index) => write(`unknown-${index}-`, index * 10, 'unknown', null, null));
  const page = renderReport({ ...timeline, writes }, report);
  t.match(page, /unknown-199-/);
  t.notMatch(page, /<code>unknown-200-/);
  t.match(page, /and 50 more/);
});

test('writes are counted when they ended, and none falls out of the picture', async (t) => {
  const buckets = writesPerBucket({ ...timeline, writes: [...timeline.writes, write('late', 99_999, 'refused', null, false), write('early', -500, 'refused', null, false)] });
  t.equal(buckets.length, 100);
  t.same(buckets[19], { acknowledged: 1, refused: 0, unknown: 0 });
  t.same(buckets[20], { acknowledged: 0, refused: 0, unknown: 1 });
  t.equal(buckets[99]?.refused, 1);
  t.equal(buckets[0]?.refused, 1);
});

test('the gap is the longest time between two acknowledged writes that touches the window', async (t) => {
  t.same(longestGap(timeline.writes, 2_000, 4_600), { fromMs: 4_510, toMs: 8_010 });
  t.same(longestGap(timeline.writes, 1_950, 4_400), { fromMs: 1_910, toMs: 4_510 });
  t.equal(longestGap([], 0, 1), null);
});

test('a failover starts with the kill before it, another event with its first phase', async (t) => {
  const later = { ...failover, phases: [{ name: 'acquire', startMs: 4_000, endMs: 4_300 }] };
  t.same(eventWindow(later, timeline), { fromMs: 2_000, toMs: 4_300 });
  t.same(eventWindow(switchover, timeline), { fromMs: 7_000, toMs: 7_300 });
  t.equal(eventWindow({ ...failover, phases: [] }, timeline), null);
});

test('samples become stretches of equal value', async (t) => {
  const samples = [{ atMs: 0, value: 'a' }, { atMs: 10, value: 'a' }, { atMs: 20, value: 'b' }];
  t.same(spansOf(samples, 30), [{ fromMs: 0, toMs: 20, value: 'a' }, { fromMs: 20, toMs: 30, value: 'b' }]);
  t.same(spansOf([], 30), []);
});

test('durations read as people say them', async (t) => {
  t.same([0, 312, 4_913, 10_000, 102_000, Number.NaN].map(duration), ['0 ms', '312 ms', '4.91 s', '10 s', '1 min 42 s', 'unknown']);
});
