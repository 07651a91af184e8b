// One look at one end: at real servers with only the rights that a prober has, over TLS, and at servers that are none.

import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { PROBER_USER, startLagPair } from '../../../../test/rig/lag-pair.ts';
import { soon } from '../../../../test/rig/postgres-pair.ts';
import type { PairMember } from '../../../../test/rig/postgres-pair.ts';
import { startResponder } from '../../../../test/rig/postgres-responder.ts';
import type { Manner } from '../../../../test/rig/postgres-responder.ts';
import { runFolder, waitFor } from '../../../../test/rig/process.ts';
import { createPostgresProbe } from './index.ts';
import type { ProbeOptions } from './index.ts';

test('with pg_monitor alone both ends say everything, and nothing can be written', async (t) => {
  const pair = await startLagPair();
  t.teardown(pair.close);
  const [primary, standby] = [pair.probe(pair.one), pair.probe(pair.two)];
  await waitFor('the stream', async () => {
    const look = await primary.look(soon());
    return look.ok && look.sample.role === 'primary' && (look.sample.walsenders[0]?.replayLsn ?? null) !== null;
  });
  t.match(await primary.look(soon()), {
    ok: true,
    sample: { role: 'primary', timeline: 1, lsn: /^0\//, nextXid: Number, walsenders: [{ name: 'r2', flushLsn: /^0\//, replayLsn: /^0\// }], syncWaiters: 0, weakSettings: 0, beat: null },
  });
  t.match(await standby.look(soon()), {
    ok: true,
    sample: { role: 'standby', timeline: 1, receiver: { streaming: true, source: `${pair.link.host}:${pair.link.port}` }, replayPaused: false, applyDelayMs: 0, conflicts: 0 },
  });
  t.match(await primary.beat(soon(), 1, 1), { ok: false, failure: { code: 'CTM_PROBE_NO_CANARY' } });

  await t.test('slots, weak settings and delayed apply are seen', async (t) => {
    await pair.admin(pair.one, `SELECT pg_create_physical_replication_slot('r2_slot', true)`);
    await pair.admin(pair.one, `ALTER ROLE app SET synchronous_commit = 'local'`);
    await pair.admin(pair.two, `ALTER SYSTEM SET recovery_min_apply_delay = '1min'`);
    await pair.admin(pair.two, 'SELECT pg_reload_conf()');
    t.match(await primary.look(soon()), { sample: { slots: [{ name: 'r2_slot', active: false, walStatus: 'reserved', retainedBytes: Number }], weakSettings: 1 } });
    await waitFor('the setting', async () => {
      const look = await standby.look(soon());
      return look.ok && look.sample.role === 'standby' && look.sample.applyDelayMs === 60_000;
    });
    t.pass();
  });

  await t.test('a wrong password, a wrong port: values, without the secret', async (t) => {
    const passFile = join(runFolder('probe'), 'wrong');
    writeFileSync(passFile, `*:*:*:${PROBER_USER}:not-the-secret\n`);
    const wrong = createPostgresProbe({ ...pair.probeOptions(pair.one), passFile });
    const look = await wrong.look(soon());
    t.match(look, { ok: false, code: 'CTM_DATABASE_SQL', message: /password authentication failed/ });
    t.notMatch(JSON.stringify(look), /not-the-secret/);
    wrong.close();
    const closed = createPostgresProbe({ ...pair.probeOptions(pair.one), port: 1 });
    t.match(await closed.look(soon()), { ok: false, code: 'CTM_DATABASE_UNREACHABLE' });
    closed.close();
  });
});

test('TLS: only a certificate of that CA for that name counts, and not one day longer than it is valid', async (t) => {
  const folder = runFolder('probe-tls');
  const authority = makeAuthority(folder);
  const certificates = {
    good: makeCertificate(folder, authority, 'good', 'primary.test', 30),
    expired: makeCertificate(folder, authority, 'expired', 'primary.test', -1),
  };
  const install = ({ options }: PairMember, { cert, key }: { cert: string; key: string }): void => {
    for (const [from, name] of [[cert, 'server.crt'], [key, 'server.key']] as const) {
      const to = join(options.dataDir, name);
      copyFileSync(from, to);
      chmodSync(to, 0o600);
      if (options.runAs !== null) chownSync(to, options.runAs.uid, options.runAs.gid);
    }
  };
  const pair = await startLagPair({
    hba: `hostssl postgres ${PROBER_USER} 127.0.0.0/8 scram-sha-256\n`,
    prepare: ({ one }) => {
      install(one, certificates.good);
      appendFileSync(join(one.options.dataDir, 'postgresql.conf'), `ssl = 'on'\n`);
    },
  });
  t.teardown(pair.close);
  const look = async (tls: ProbeOptions['tls']): Promise<unknown> => {
    const probe = createPostgresProbe({ ...pair.probeOptions(pair.one), tls });
    const outcome = await probe.look(soon());
    probe.close();
    return outcome;
  };
  const kept = createPostgresProbe({ ...pair.probeOptions(pair.one), tls: { caFile: authority.cert, serverName: 'primary.test' } });
  for (const which of ['first', 'second', 'third']) t.match(await kept.look(soon()), { ok: true, sample: { role: 'primary' } }, which);
  const mine = `SELECT count(*)::int AS count FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND usename = '${PROBER_USER}'`;
  t.same(await pair.admin(pair.one, mine), [{ count: 1 }], 'over one connection');
  kept.close();
  await waitFor('it to be closed', async () => (await pair.admin(pair.one, mine))[0]?.['count'] === 0);
  t.match(await look({ caFile: authority.cert }), { ok: false, code: 'CTM_DATABASE_UNREACHABLE', message: /IP: 127\.10\.0\.1|altnames/ }, 'the address is not the name');
  t.match(await look({ caFile: authority.cert, serverName: 'other.test' }), { ok: false, message: /other\.test/ });
  t.match(await look({ caFile: makeAuthority(folder, 'another').cert, serverName: 'primary.test' }), { ok: false, code: 'CTM_DATABASE_UNREACHABLE' });
  t.match(await look(null), { ok: false, code: 'CTM_DATABASE_SQL' }, 'the server takes nothing in clear');
  t.match(await look({ caFile: join(folder, 'missing.pem'), serverName: 'primary.test' }), { ok: false, code: 'CTM_DATABASE_FILE' });

  install(pair.one, certificates.expired);
  await pair.admin(pair.one, 'SELECT pg_reload_conf()');
  await waitFor('the expired certificate to be refused', async () => {
    const outcome = (await look({ caFile: authority.cert, serverName: 'primary.test' })) as { ok: boolean; message?: string };
    return !outcome.ok && /expired/.test(outcome.message ?? '');
  });
  install(pair.one, certificates.good);
  await pair.admin(pair.one, 'SELECT pg_reload_conf()');
  await waitFor('the renewed one to count', async () => ((await look({ caFile: authority.cert, serverName: 'primary.test' })) as { ok: boolean }).ok);
});

test('a hostile server costs one bounded look, and the next one finds it mended', async (t) => {
  const answer = JSON.stringify({
    standby: false, clockMs: 1, system: '7300000000000000001', timeline: 1, lsn: '0/500', nextXid: '7', walsenders: null, slots: null, synchronous: '',
    syncWaits: [0, null], weak: 0, receive: null, replay: null, commitMs: null, receiver: null, pause: null, delayMs: null, conflicts: null, beat: null, epoch: null,
  });
  let text = answer;
  const responder = await startResponder(() => text);
  t.teardown(responder.close);
  const passFile = join(runFolder('probe-hostile'), 'passwords');
  writeFileSync(passFile, `*:*:*:${PROBER_USER}:secret\n`);
  const probe = createPostgresProbe({
    host: responder.host, port: responder.port, database: 'postgres', user: PROBER_USER, passFile, tls: null, connectTimeoutMs: 500, statementTimeoutMs: 500, canary: false,
  });
  t.teardown(() => probe.close());
  t.match(await probe.look(soon()), { ok: true, sample: { role: 'primary', lsn: '0/500' } });

  const expected: Record<Exclude<Manner, 'answer' | 'silent'>, string> = { garbage: 'CTM_DATABASE_GARBAGE', endless: 'CTM_DATABASE_GARBAGE', never: 'CTM_DATABASE_TIMEOUT' };
  for (const [manner, code] of Object.entries(expected) as [Manner, string][]) {
    responder.be(manner);
    const before = process.memoryUsage().arrayBuffers;
    t.match(await probe.look(AbortSignal.timeout(1_500)), { ok: false, code }, manner);
    t.ok(process.memoryUsage().arrayBuffers - before < 50_000_000, 'and it does not fill the memory');
    responder.be('answer');
    t.match(await probe.look(soon()), { ok: true }, `after ${manner}`);
  }

  for (const nonsense of ['', '{}', '[]', 'null', answer.replace('0/500', 'zero'), answer.replace('"timeline":1', '"timeline":null'), answer.replace('false', 'true').replace('"pause":null', '"pause":"perhaps"')]) {
    text = nonsense;
    t.match(await probe.look(soon()), { ok: false, code: 'CTM_DATABASE_GARBAGE' }, nonsense.slice(0, 30));
  }
});

type Pem = { readonly cert: string; readonly key: string };

function makeAuthority(folder: string, name = 'ca'): Pem {
  const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert, '-days', '30', '-subj', `/CN=${name}`);
  return { cert, key };
}

function makeCertificate(folder: string, authority: Pem, name: string, host: string, days: number): Pem {
  mkdirSync(join(folder, name));
  const [cert, key, request, extensions] = ['cert.pem', 'key.pem', 'request.pem', 'extensions'].map((file) => join(folder, name, file)) as [string, string, string, string];
  writeFileSync(extensions, `subjectAltName=DNS:${host}\n`);
  openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', request, '-subj', `/CN=${host}`);
  openssl('x509', '-req', '-in', request, '-CA', authority.cert, '-CAkey', authority.key, '-CAcreateserial', '-out', cert, '-days', String(days), '-extfile', extensions);
  return { cert, key };
}

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', [...args], { stdio: 'ignore' });
}
