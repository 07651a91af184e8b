// A prober's line, read: what belongs comes in, everything else is refused by the name of its field.

import t from 'tap';
import { LAG_REPORT_LENGTH_MAX, readLagReport } from './lag-report.ts';

const OWN = { cluster: 'shop', regions: ['r1', 'r2'] };
const known = (unit: string, value: number) => ({ value, unit, ageMs: 40, source: 'both-ends', confidence: 'proven', reason: null });
const REPORT = {
  cluster: 'shop',
  intervalMs: 1_000,
  primary: { name: 'r1', ageMs: 12, lsn: '0/500', timeline: 1 },
  standbys: [
    {
      name: 'r2',
      verdict: { kind: 'promotable' },
      verdictForMs: 100,
      syncState: 'sync',
      lag: { bytes: known('bytes', 0), milliseconds: known('milliseconds', 0) },
      loss: { bytes: known('bytes', 0), milliseconds: known('milliseconds', 0), commits: known('commits', 0), text: 'nothing was missing' },
      walsender: 'streaming',
    },
  ],
  ends: [],
};

type Json = { [key: string]: unknown };

/** The report with one field changed, by its dotted path. */
function changed(path: string, value: unknown): string {
  const copy = structuredClone(REPORT) as unknown as Json;
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const inner = keys.reduce((one, key) => one[key] as Json, copy);
  if (value === undefined) delete inner[last];
  else inner[last] = value;
  return JSON.stringify(copy);
}

t.test('a report comes in, without what the controller does not use', async (t) => {
  const read = readLagReport(JSON.stringify(REPORT), OWN);
  t.match(read, { ok: true, report: { cluster: 'shop', intervalMs: 1_000, primary: { name: 'r1' }, standbys: [{ name: 'r2', verdict: { kind: 'promotable' }, loss: { commits: { value: 0 } } }] } });
  t.notMatch(read, { report: { ends: [] } });
  t.match(readLagReport(changed('primary', null), OWN), { ok: true, report: { primary: null } });
});

t.test('a report about another cluster is passed over, whatever it says', async (t) => {
  t.same(readLagReport(changed('cluster', 'other'), OWN), { ok: true, report: null });
  t.same(readLagReport('{"cluster":"other","standbys":7}', OWN), { ok: true, report: null });
});

t.test('what is wrong is named', async (t) => {
  const wrong: [string, unknown, RegExp][] = [
    ['cluster', undefined, /^cluster: use a text/],
    ['intervalMs', 0, /^intervalMs: use 1 or more/],
    ['intervalMs', 1e9, /^intervalMs: use at most/],
    ['primary.ageMs', -1, /^primary\.ageMs: use 0 or more/],
    ['primary.name', 'r9', /^primary\.name: "r9"; name the prober's ends as .* r1, r2/],
    ['standbys.0.name', 'r9', /^standbys\.0\.name: "r9"; .* r1, r2/],
    ['standbys.0.verdict', { kind: 'fine' }, /^standbys\.0\.verdict.*: use promotable, notPromotable or unknown/],
    ['standbys.0.verdict', { kind: 'notPromotable', reason: 'mood', detail: '' }, /^standbys\.0\.verdict\.reason: use one of foreign-cluster/],
    ['standbys.0.lag.bytes.value', '0', /^standbys\.0\.lag\.bytes\.value: use a number/],
    ['standbys.0.lag.bytes.value', -5, /^standbys\.0\.lag\.bytes\.value: use 0 or more/],
    ['standbys.0.lag.bytes.value', null, /^standbys\.0\.lag\.bytes\.value: use null for what is not known, and only for that/],
    ['standbys.0.loss.milliseconds.confidence', 'none', /^standbys\.0\.loss\.milliseconds\.value: use null/],
    ['standbys.0.loss.milliseconds.ageMs', null, /^standbys\.0\.loss\.milliseconds\.ageMs: say how old/],
    ['standbys.0.loss.commits.unit', 'bytes', /^standbys\.0\.loss\.commits\.unit: use commits/],
    ['standbys', Array.from({ length: 17 }, () => REPORT.standbys[0]), /^standbys: name at most 16/],
    ['standbys', [REPORT.standbys[0], REPORT.standbys[0]], /^standbys: name each once/],
    ['standbys.0.syncState', 'x'.repeat(64), /^standbys\.0\.syncState: use at most 63/],
  ];
  for (const [path, value, problem] of wrong) {
    const read = readLagReport(changed(path, value), OWN);
    t.match(read, { ok: false, problem }, path);
  }
  for (const line of ['', 'hello', '[1]', '7', 'null']) t.match(readLagReport(line, OWN), { ok: false, problem: /^(\(line\)|cluster)/ }, JSON.stringify(line));
});

t.test('the problem says nothing of what stood in a line without end', async (t) => {
  const read = readLagReport(changed('standbys.0.name', 'x'.repeat(LAG_REPORT_LENGTH_MAX)), OWN);
  t.ok(!read.ok && read.problem.length < 300);
});
