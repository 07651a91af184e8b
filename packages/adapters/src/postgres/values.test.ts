// The small pure parts: what is read from PostgreSQL's own output, and what is written for it.

import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lsn, regionId } from '@continuum/core';
import { test } from 'tap';
import { parseControlData, parseHistory } from './cluster.ts';
import { highestEpoch, raiseEpoch } from './epoch-store.ts';
import { resolveOptions } from './options.ts';
import type { PostgresOptions } from './options.ts';
import { findParting, lastPageBefore } from './same-log.ts';
import { parseStandbyList, peerConnection, readFileSetting, standbyList, writeFileSettings } from './server-settings.ts';
import { readPassword } from './session.ts';
import { scramVerifier } from './setup.ts';

const OPTIONS: PostgresOptions = {
  region: regionId('r1'),
  binDir: '/bin',
  env: {},
  dataDir: '/data/pg',
  host: '10.0.0.1',
  port: 5432,
  passFile: '/data/pass',
  runAs: { uid: 1000, gid: 1000 },
  logFile: '/data/log',
};

test('options that are wrong are refused together, each with its fix', async (t) => {
  const wrong = { ...OPTIONS, binDir: 'bin', dataDir: '/data/', port: 0, region: regionId('*'), runAs: { uid: 0, gid: 0 } };
  const asRoot = process.getuid?.() === 0 ? ['runAs is missing'] : [];
  for (const part of ['binDir is "bin"', 'dataDir is "/data/"', 'port is 0', 'region is "*"', ...asRoot]) {
    t.throws(() => resolveOptions(wrong), { message: new RegExp(part.replaceAll(/[*"]/g, '\\$&')) });
  }
  t.equal(resolveOptions(OPTIONS).database, 'postgres');
});

test('a list of standbys is read as it was written, and as others write it', async (t) => {
  t.equal(standbyList([]), '');
  t.equal(standbyList(['r1', 'eu-west.2']), 'FIRST 2 ("r1", "eu-west.2")');
  for (const [text, names] of [
    ['', []],
    ['FIRST 2 ("r1", "eu-west.2")', ['r1', 'eu-west.2']],
    ['ANY 1 (a,b, "c d")', ['a', 'b', 'c d']],
    ['2 (a, b)', ['a', 'b']],
    ['a, "b""c"', ['a', 'b"c']],
    ['*', ['*']],
  ] as const) {
    t.same(parseStandbyList(text), names, text);
  }
});

test('a connection string quotes what is in it', async (t) => {
  const context = resolveOptions({ ...OPTIONS, passFile: `/it's/a\\b`, peerConnection: { sslmode: 'verify-full', host: 'ignored' } });
  const text = peerConnection(context, { host: 'db.example', port: 5433 }, { dbname: 'x' });
  for (const part of [`passfile='/it\\'s/a\\\\b'`, `host='db.example'`, `port='5433'`, `sslmode='verify-full'`, `application_name='r1'`, `dbname='x'`]) {
    t.ok(text.includes(part), part);
  }
});

test('settings in the file are replaced, others stay', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'continuum-settings-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const path = join(folder, 'postgresql.auto.conf');
  await writeFile(path, `# kept\nwork_mem = '4MB'\nSynchronous_Standby_Names = 'old'\nprimary_conninfo = 'x'\n`);
  const context = resolveOptions(process.getuid?.() === 0 ? OPTIONS : { ...OPTIONS, runAs: null });
  await writeFileSettings(context, folder, { synchronous_standby_names: '', primary_conninfo: `host='a\\'b'` });
  t.equal(await readFile(path, 'utf8'), `# kept\nwork_mem = '4MB'\nsynchronous_standby_names = ''\nprimary_conninfo = 'host=''a\\\\''b'''\n`);
  t.equal(await readFileSetting(folder, 'primary_conninfo'), `host='a\\'b'`);
  await writeFileSettings(context, folder, { synchronous_standby_names: 'FIRST 1 ("r2")' });
  t.equal(await readFileSetting(folder, 'synchronous_standby_names'), 'FIRST 1 ("r2")');
  t.equal(await readFileSetting(folder, 'primary_conninfo'), `host='a\\'b'`, 'what is not named is not touched');
  await t.rejects(writeFileSettings(context, folder, { synchronous_standby_names: 'a\nb' }), { code: 'CTM_DATABASE_FILE' });
});

test('the highest epoch only goes up, whatever a crash leaves', async (t) => {
  const store = join(await mkdtemp(join(tmpdir(), 'continuum-epoch-')), 'epoch');
  t.teardown(() => rm(join(store, '..'), { recursive: true }));
  t.equal(await highestEpoch(store), 0);
  t.equal(await raiseEpoch(store, 3), 3);
  t.equal(await raiseEpoch(store, 2), 3, 'not lowered');
  t.equal(await raiseEpoch(store, 10), 10);
  t.same(await readdir(store), ['0000000000000010'], 'older ones are removed');
  await writeFile(join(store, '0000000000000007'), '', 'utf8');
  t.equal(await highestEpoch(store), 10, 'one that a crash left behind does not count');
  const raced = await Promise.all(Array.from({ length: 20 }, (_, index) => raiseEpoch(store, 11 + index)));
  t.equal(Math.max(...raced), 30);
  t.equal(await highestEpoch(store), 30, 'racing writers cannot lower it');
  await writeFile(join(store, 'half'), 'x');
  await t.rejects(highestEpoch(store), { code: 'CTM_DATABASE_EPOCH_CORRUPT', message: /half/ });
});

test('a password is found as libpq finds it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'continuum-pass-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const passFile = join(folder, 'pass');
  await writeFile(passFile, ['# comment', '10.0.0.2:5432:*:continuum:other host', '*:*:postgres:continuum:se\\:cr\\\\et', '*:*:*:*:any', ''].join('\n'));
  const context = resolveOptions({ ...OPTIONS, passFile });
  t.equal(await readPassword(context, 'continuum'), 'se:cr\\et');
  t.equal(await readPassword(context, 'someone'), 'any');
  await writeFile(passFile, '*:*:*:other:x\n');
  await t.rejects(readPassword(context, 'continuum'), { code: 'CTM_DATABASE_UNREACHABLE', message: /has no line for 10\.0\.0\.1:5432:postgres:continuum/ });
});

test('a SCRAM verifier is the one of RFC 7677', async (t) => {
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
  t.equal(
    scramVerifier('pencil', salt),
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  );
  t.throws(() => scramVerifier('', salt), /printable ASCII/);
});

test('pg_control and history files are read', async (t) => {
  const text = [
    'Database system identifier:           7710515891250062193',
    'Database cluster state:               in production',
    'Latest checkpoint location:           0/1742038',
    "Latest checkpoint's REDO location:    0/1742000",
    "Latest checkpoint's TimeLineID:       1",
    "Min recovery ending loc's timeline:   2",
    'Bytes per WAL segment:                16777216',
  ];
  t.same(parseControlData(text.join('\n')), {
    systemIdentifier: '7710515891250062193',
    state: 'in production',
    checkpointLsn: '0/1742038',
    redoLsn: '0/1742000',
    checkpointTimeline: 1,
    timeline: 2,
    walSegmentBytes: 16_777_216,
  });
  t.throws(() => parseControlData(text.slice(1).join('\n')), { message: /Database system identifier/ });
  t.same(parseHistory('# x\n1\t0/3000820\tno recovery target specified\n\n2\t16/B374D848\tx\n'), [
    { timeline: 1, endLsn: '0/3000820' },
    { timeline: 2, endLsn: '16/B374D848' },
  ]);
});

test('where two histories part', async (t) => {
  const source = {
    systemIdentifier: '1',
    timeline: 3,
    lsn: lsn('0/9000'),
    history: [{ timeline: 1, endLsn: lsn('0/3000') }, { timeline: 2, endLsn: lsn('0/6000') }],
    oldestLsn: lsn('0/0'),
  };
  const end = (timeline: number, last: string, to: string) => ({ timeline, lastRecordLsn: lsn(last), endLsn: lsn(to) });
  t.same(findParting(source, end(3, '0/8000', '0/8100'), []), { upTo: '0/8100', ahead: false });
  t.same(findParting(source, end(1, '0/2F80', '0/3000'), []), { upTo: '0/3000', ahead: false }, 'stopped right where the other went on');
  t.same(findParting(source, end(1, '0/3000', '0/3080'), []), { upTo: '0/3000', ahead: true }, 'one record too many');
  t.same(findParting(source, end(3, '0/9000', '0/9100'), []), { upTo: '0/9000', ahead: true }, 'more than the source itself');
  t.same(findParting(source, end(7, '0/8000', '0/8100'), [{ timeline: 2, endLsn: lsn('0/5000') }]), { upTo: '0/5000', ahead: true });
  t.equal(findParting(source, end(7, '0/8000', '0/8100'), [{ timeline: 5, endLsn: lsn('0/5000') }]), null);
});

test('the last page before a position', async (t) => {
  t.same(lastPageBefore(lsn('1/80'), 16 * 1024 * 1024), { segment: '0000000100000000', offset: 0, length: 128 });
  t.same(lastPageBefore(lsn('1/0'), 16 * 1024 * 1024), { segment: '00000000000000FF', offset: 16_769_024, length: 8_192 });
  t.same(lastPageBefore(lsn('0/3002010'), 16 * 1024 * 1024), { segment: '0000000000000003', offset: 8_192, length: 16 });
});
