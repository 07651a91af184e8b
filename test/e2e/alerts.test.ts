// The alerts as an operator loads them: valid, about metrics that a daemon really has, and firing on what they are for and on nothing
// else (deploy/alerts/*.test.yaml, evaluated by Prometheus' own tool).

import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { monoMs } from '@continuum/core';
import { Registry } from 'prom-client';
import { test } from 'tap';
import { parse } from 'yaml';
import { createMetrics as createControllerMetrics } from '../../daemons/controller/src/metrics.ts';
import { createBeaconMetrics, createKeyMetrics } from '../../daemons/dns/src/metrics.ts';
import { createPublishMetrics } from '../../daemons/dns/src/publish-metrics.ts';
import { createMetrics as createLagMetrics } from '../../daemons/lag-prober/src/metrics.ts';
import { locate } from '../../scripts/parts.mjs';

const FOLDER = fileURLToPath(new URL('../../deploy/alerts', import.meta.url));
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'));
const rules = files.filter((name) => !name.endsWith('.test.yaml'));
const cases = files.filter((name) => name.endsWith('.test.yaml'));

type Rule = { readonly alert: string; readonly expr: string; readonly labels: { readonly severity?: string }; readonly annotations: { readonly summary?: string } };
const rulesOf = (name: string): Rule[] => (parse(readFileSync(join(FOLDER, name), 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules);

function promtool(...args: string[]): { status: number | null; said: string } {
  const part = locate('promtool');
  const run = spawnSync(part.command, args, { cwd: FOLDER, env: { ...process.env, ...part.env }, encoding: 'utf8' });
  return { status: run.status, said: `${run.stdout}${run.stderr}` };
}

/** Every metric that a daemon exposes, with what a histogram makes of its name. */
async function metricNames(): Promise<ReadonlySet<string>> {
  const registry = new Registry();
  createBeaconMetrics(registry, { leases: [], connected: () => false, remainingMs: () => 0 });
  createPublishMetrics(registry);
  createKeyMetrics(registry);
  const texts = [await registry.metrics(), await createControllerMetrics('counter', 'r1').render(), Buffer.concat(await createLagMetrics(() => [], () => monoMs(0)).render()).toString()];
  const types = texts.flatMap((text) => [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => ({ name: name ?? '', type })));
  return new Set(types.flatMap(({ name, type }) => (type === 'histogram' ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name])));
}

test('Prometheus takes every rule', (t) => {
  t.ok(rules.length >= 2);
  const checked = promtool('check', 'rules', ...rules);
  t.equal(checked.status, 0, checked.said);
  t.end();
});

test('each alert has a severity and a summary, its own name, and only metrics that exist', async (t) => {
  const names = await metricNames();
  const all = rules.flatMap(rulesOf);
  t.equal(new Set(all.map(({ alert }) => alert)).size, all.length);
  for (const { alert, expr, labels, annotations } of all) {
    t.match(labels.severity, /^(critical|warning)$/, alert);
    t.ok((annotations.summary ?? '').length > 0, alert);
    const used = expr.match(/continuum_[a-z_]+/g) ?? [];
    t.ok(used.length > 0, alert);
    for (const metric of used) t.ok(names.has(metric), `${alert}: ${metric}`);
  }
});

test('they fire on what they are for, and on nothing else', (t) => {
  for (const one of cases) {
    const tested = promtool('test', 'rules', one);
    t.equal(tested.status, 0, tested.said);
  }
  const tried = new Set(cases.flatMap((one) => readFileSync(join(FOLDER, one), 'utf8').match(/alertname: \w+/g) ?? []).map((one) => one.slice('alertname: '.length)));
  for (const name of ['controller.yaml', 'dns.yaml']) for (const { alert } of rulesOf(name)) t.ok(tried.has(alert), `${alert} is tried`);
  t.end();
});
