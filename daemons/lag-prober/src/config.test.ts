// The configuration: every problem at once, each with its path, the value found and what to write.

import { test } from 'tap';
import { clusterHash } from './cluster-hash.ts';
import { parseConfig } from './config.ts';

const sql = { host: 'db.r1.test', port: 5432, passFile: '/etc/continuum/pass' };
const good = { listen: '127.0.0.1:9188', clusters: [{ name: 'shop', ends: [{ name: 'r1', sql }, { name: 'r2', sql }] }] };
const parse = (config: object): ReturnType<typeof parseConfig> => parseConfig(JSON.stringify(config));
const problemsOf = (config: object): string[] => {
  const parsed = parse(config);
  return parsed.ok ? [] : parsed.problems.map((one) => `${one.path}: ${one.fix}`);
};

test('the least that is needed; the rest has a default, and none of a limit is unbounded', async (t) => {
  const parsed = parse(good);
  t.match(parsed, { ok: true, config: { intervalMs: 1_000, backoffMaxMs: 10_000, historyEntries: 600, push: [], clusters: [{ canary: false, thresholds: { up: 3, ok: 3, down: 2 } }] } });
  t.match(parsed, { config: { clusters: [{ limits: { lossMaxMs: 5_000, replayLagMaxMs: 10_000 }, ends: [{ sql: { database: 'postgres', user: 'continuum_prober' } }] }] } });
});

test('all problems in one report', async (t) => {
  const problems = problemsOf({
    listen: 'localhost',
    intervalMs: 5,
    speed: 'fast',
    push: [{ address: '10.0.0.1:99' }],
    clusters: [
      { name: 'shop', ends: [{ name: 'r1', sql: { ...sql, port: 0, passFile: 'pass' } }] },
      { name: 'shop', limits: { lossMaxMs: -1 }, ends: [{ name: 'r1', sql }, { name: 'r2' }] },
    ],
  });
  for (const wanted of [
    /^listen: write where reports are read as address:port/,
    /^intervalMs: write at least 50/,
    /^speed: unknown key: remove it/,
    /^push\[0\]/,
    /^clusters\[0\]\.ends: write at least two ends/,
    /^clusters\[0\]\.ends\[0\]\.sql\.port: write a port/,
    /^clusters\[0\]\.ends\[0\]\.sql\.passFile: write the absolute path/,
    /^clusters\[1\]\.limits\.lossMaxMs: write at least 0/,
    /^clusters\[1\]\.ends\[1\]: write either sql or exporter/,
  ]) {
    t.ok(problems.some((one) => wanted.test(one)), String(wanted));
  }
});

test('names that are used twice, half a client certificate, an unknown self among the peers', async (t) => {
  t.match(problemsOf({ ...good, clusters: [...good.clusters, ...good.clusters] }), ['clusters: give each cluster a name of its own']);
  t.match(problemsOf({ ...good, clusters: [{ name: 'shop', ends: [{ name: 'r1', sql }, { name: 'r1', sql }] }] }), ['clusters[0]: give each end a name of its own']);
  t.match(problemsOf({ ...good, clusters: [{ name: 'shop', ends: [{ name: 'r1', sql: { ...sql, tls: { caFile: '/ca', certFile: '/cert' } } }, { name: 'r2', sql }] }] }), [/write both certFile and keyFile/]);
  t.match(problemsOf({ ...good, peers: { self: 'c', members: [{ name: 'a', url: 'http://a:1' }] } }), ['peers: name this prober among the members']);
});

test('a cluster is another one when anything of it changes', async (t) => {
  const parsed = parse(good);
  if (!parsed.ok) throw new Error('the good one is refused');
  const [cluster] = parsed.config.clusters;
  if (cluster === undefined) throw new Error('no cluster');
  const { config } = parsed;
  const hash = clusterHash(cluster, config);
  t.equal(clusterHash({ ...cluster }, { ...config, logLevel: 'debug' }), hash);
  t.not(clusterHash({ ...cluster, canary: true }, config), hash);
  for (const name of ['intervalMs', 'timeoutMs', 'backoffMaxMs', 'connectionMaxAgeMs', 'historyEntries'] as const) t.not(clusterHash(cluster, { ...config, [name]: 777 }), hash, name);
});
