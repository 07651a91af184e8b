// `continuum simulate` answers about the specification that it was given, says everything that is wrong with what it was given, and a
// seed of it is the same run again.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StudyReport } from '@continuum/sim';
import t from 'tap';
import { simulate } from './simulate-command.ts';
import type { SimulateValues } from './simulate-command.ts';

const GOOD = `apiVersion: continuum.dev/v1alpha1
kind: Continuum
metadata: { name: counter }
spec:
  placement: active-hotstandby
  mode: automatic
  objective: { rto: 10s }
  regions:
    - { name: r1, gateway: { address: 192.0.2.1, port: 80 }, database: { host: db.r1.example.net, port: 5432 } }
    - { name: r2, gateway: { address: 192.0.2.2, port: 80 }, database: { host: db.r2.example.net, port: 5432 } }
  database: { kind: postgres }
  gateway: { kind: envoy }
  dns:
    name: counter.example.net
    resolvers:
      - { name: one, address: 192.0.2.8 }
      - { name: two, address: 192.0.2.9 }
      - { name: three, address: 192.0.2.10 }
  witness: { url: "https://witness.example.net", lease: counter, publicKeys: { witness/1: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 } }
local:
  region: r1
  stateDir: /var/lib/continuum
  api: { address: 127.0.0.1, port: 8700, tokenFile: /etc/continuum/token }
  witness: { keyId: r1/1, privateKeyFile: /etc/continuum/key.pem }
  gate: { socket: /run/continuum/gate.sock }
  gateway: { routeFile: /var/lib/envoy/routes.json, admin: { address: 127.0.0.1, port: 9901 } }
  database: { binDir: /usr/lib/postgresql/15/bin, dataDir: /var/lib/postgresql/data, logFile: /var/log/postgresql.log, passFile: /etc/continuum/pgpass }
`;

const DEFAULTS = { seeds: '4', hours: '0.15', threads: '1', output: 'text', 'operator-after': '1m' } as const;

type Run = { readonly exit: number; readonly said: string; readonly told: string };

async function run(values: Partial<SimulateValues>): Promise<Run> {
  const [said, told]: [string[], string[]] = [[], []];
  const exit = await simulate({ ...DEFAULTS, ...values }, { say: (text) => said.push(text), tell: (text) => told.push(text) });
  return { exit, said: said.join('\n'), told: told.join('\n') };
}

function configFile(folder: string, text = GOOD): string {
  const file = join(folder, 'my.yaml');
  writeFileSync(file, text);
  return file;
}

t.test('a specification is tried: the distribution, the share within the objective, every family, two reports', async (t) => {
  const folder = t.testdir();
  const { exit, said } = await run({ config: configFile(folder), report: join(folder, 'out.json') });
  t.equal(exit, 0, said);
  t.match(said, /^counter: after every one of \d+ lost regions clients were served within the objective of 10\.0 s: \d+ were taken over, \d+ came back first\./);
  for (const part of [/min .* median .* p90 .* p99 .* max/, /within the objective: 100 %/, /is back before anybody takes over/, /Planned switchover/, /region did not take it because/, /believed at once/, /region-kill +\d/]) {
    t.match(said, part);
  }
  const report = JSON.parse(readFileSync(join(folder, 'out.json'), 'utf8')) as StudyReport;
  t.match(report, { ok: true, name: 'counter', objectiveMs: 10_000, seeds: 4, violations: [] });
  t.ok(report.rto.count > 0 && report.rto.max <= 10_000, `${report.rto.count} regions lost, ${report.rto.max} ms at most`);
  t.ok(report.rto.min > 1_500, 'nobody takes a lease over before it runs out');
  t.equal(report.rto.histogram.reduce((sum, bin) => sum + bin.count, 0), report.rto.count);
  t.match(readFileSync(join(folder, 'out.html'), 'utf8'), /<h1>✓ After every one of \d+ lost regions/);
});

t.test('the timings of the file are those of the run', async (t) => {
  const folder = t.testdir();
  const slow = GOOD.replace('objective: { rto: 10s }', 'objective: { rto: 30s }\n  timings: { ttl: 18s, renew: 6s, promoteBudget: 3s }');
  const json = async (text: string): Promise<StudyReport> => JSON.parse((await run({ config: configFile(folder, text), output: 'json', seeds: '3', hours: '0.5' })).said) as StudyReport;
  const [fast, long] = [await json(GOOD), await json(slow)];
  t.ok(long.rto.min > fast.rto.max, `ttl 5 s: at most ${fast.rto.max} ms; ttl 18 s: at least ${long.rto.min} ms`);
});

t.test('where a person approves, the wait is part of the answer and the objective is missed', async (t) => {
  const folder = t.testdir();
  const { exit, said } = await run({ config: configFile(folder, GOOD.replace('automatic', 'manual')), 'operator-after': '45s', seeds: '3' });
  t.equal(exit, 1);
  t.match(said, /after [1-9]\d* of \d+ lost regions clients waited longer than the objective of 10\.0 s/);
  t.match(said, /within the objective: 0 %/);
  t.match(said, /Takeovers that a person approved: \d+, after 45\.0 s each/);
  t.match(said, /mode +a person had to approve it/);
});

t.test('one seed again is the same run, told round by round, with its whole trace', async (t) => {
  const folder = t.testdir();
  const config = configFile(folder);
  const trace = join(folder, 'trace.txt');
  const one = await run({ config, seed: '3', trace });
  t.equal(one.exit, 0);
  t.match(one.said, /region-kill\n.*failover[^]*\ncounter: after every one of \d+ lost regions clients were served within/);
  t.match(readFileSync(trace, 'utf8'), /witness +epoch 1 -> r1/);
  const [alone, again] = [await run({ config, seed: '3', output: 'json' }), await run({ config, seed: '3', output: 'json' })];
  t.equal(alone.said, again.said);
  const many = await run({ config, seed: '2' });
  t.equal(many.exit, 1, 'many faults at once say nothing about the objective');
  t.match(many.said, /no invariant was broken\ncounter: no region was lost .* nothing can be said about the objective/);
});

t.test('what is wrong with a specification is said as `check` says it', async (t) => {
  const folder = t.testdir();
  const bad = GOOD.replace('rto: 10s', 'rto: soon').replace('mode: automatic', 'mode: eager').replace('  dns:\n', '  colour: red\n  dns:\n');
  const { exit, told, said } = await run({ config: configFile(folder, bad) });
  t.equal(exit, 2);
  t.equal(said, '');
  for (const part of [/3 problems in .*my\.yaml/, /spec\.mode = "eager"\n +use automatic, semi-automatic or manual/, /spec\.objective\.rto = "soon"\n +use a duration/, /spec\.colour = "red"\n +unknown key/]) t.match(told, part);
  const tooShort = await run({ config: configFile(folder, GOOD.replace('rto: 10s }', 'rto: 10s }\n  timings: { ttl: 9s }')) });
  t.equal(tooShort.exit, 2);
  t.match(tooShort.told, /the worst case is .* above the objective of 10000 ms/);
});

t.test('every wrong option is named, with its value and what to use', async (t) => {
  const { exit, told } = await run({ seeds: 'many', hours: '0', threads: '1.5', 'operator-after': 'later', trace: 'x', output: 'xml' });
  t.equal(exit, 2);
  for (const part of [/--seeds many: use a whole number from 1/, /--hours 0: use a number from 0\.01/, /--threads 1\.5/, /--operator-after later: use a duration/, /--trace x: .*add --seed/, /--output xml: use text or json/, /simulate needs --config FILE/]) {
    t.match(told, part);
  }
  t.match(await run({ config: '/nowhere/my.yaml' }), { exit: 2, told: /--config \/nowhere\/my\.yaml: ENOENT/ });
});

t.test('a report that cannot be written is an error, not a success', async (t) => {
  const { exit, told } = await run({ config: configFile(t.testdir()), seed: '1', report: '/nowhere/out.json' });
  t.equal(exit, 2);
  t.match(told, /--report \/nowhere\/out\.json: ENOENT/);
});
