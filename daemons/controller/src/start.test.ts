// How a controller starts, or says why it does not: exit codes that scripts can use, and one line that names what to mend.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { stringify } from 'yaml';
import { readAudit, readStateFile, takeLock, writeStateFile } from '@continuum/runtime';
import { generateKeyPair } from '@continuum/wire';
import { freePort, runFolder, start, stopAll, waitFor } from '../../../test/rig/process.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const CLI = fileURLToPath(new URL('./cli.ts', import.meta.url));
const ADDRESS = '127.0.0.1';
const TOKEN = 'a-token-for-this-test-only';

const keys = await generateKeyPair();
const apiPort = await freePort(ADDRESS);
const nobodyPort = await freePort(ADDRESS);
// Unix sockets have short paths: not in the test's own fixture folder.
const folder = runFolder('controller-start');
const state = join(folder, 'state-of-r1');
t.teardown(() => stopAll());

type Change = { readonly [key: string]: unknown };

/** Writes a configuration that is right but for `local`, and returns its file. Nobody is at the witness's address. */
function configure(name: string, local: Change = {}, spec: Change = {}): string {
  const home = join(folder, name);
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, 'token'), TOKEN);
  writeFileSync(join(home, 'odd'), `${TOKEN}\n${TOKEN}`);
  writeFileSync(join(home, 'key.pem'), keys.privateKey);
  const file = join(home, 'continuum.yaml');
  const region = (one: string, host: string) => ({ name: one, gateway: { address: host, port: 8080 }, database: { host, port: 5432 } });
  const config = {
    apiVersion: 'continuum.dev/v1alpha1',
    kind: 'Continuum',
    metadata: { name: 'counter' },
    spec: {
      placement: 'active-hotstandby',
      mode: 'automatic',
      objective: { rto: '10s' },
      regions: [region('r1', '127.0.0.2'), region('r2', '127.0.0.3')],
      database: { kind: 'postgres' },
      gateway: { kind: 'envoy' },
      dns: { name: 'counter.app.test', resolvers: [1, 2, 3].map((last) => ({ name: `n${last}`, address: `127.0.1.${last}` })) },
      witness: { url: `http://${ADDRESS}:${nobodyPort}`, lease: 'counter', publicKeys: { 'witness/1': keys.publicKey } },
      ...spec,
    },
    local: {
      region: 'r1',
      stateDir: state,
      api: { address: ADDRESS, port: apiPort, tokenFile: join(home, 'token') },
      witness: { keyId: 'r1/1', privateKeyFile: join(home, 'key.pem') },
      gate: { socket: join(folder, 'gate.sock') },
      gateway: { routeFile: join(home, 'routes.json'), admin: { address: ADDRESS, port: nobodyPort } },
      database: {
        binDir: home,
        dataDir: join(home, 'data'),
        logFile: join(home, 'postgres.log'),
        passFile: join(home, 'pgpass'),
        ...(process.getuid?.() === 0 ? { runAs: { uid: 65_534, gid: 65_534 } } : {}),
      },
      ...local,
    },
  };
  writeFileSync(file, stringify(config));
  return file;
}

/** Runs it to its end. */
async function run(main: string, ...args: string[]): Promise<{ code: number | null; stderr: string; stdout: string }> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (chunk) => (text[name] += String(chunk)));
  const overdue = setTimeout(() => child.kill('SIGKILL'), 30_000);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(overdue);
  return { code, ...text };
}

const begin = (config: string, name: string) =>
  start({ name, command: process.execPath, args: [MAIN, '--config', config], logFile: join(folder, `${name}.log`) });

t.test('a configuration that is missing, unreadable or wrong: exit 78, and every problem at once', async (t) => {
  t.match(await run(MAIN), { code: 78, stderr: /^CTM_CONFIG_MISSING: name the configuration/ });
  t.match(await run(MAIN, '--cnofig', 'x'), { code: 78, stderr: /^CTM_CONFIG_MISSING: Unknown option '--cnofig'/ });
  t.match(await run(MAIN, '--config', '/no/such/file'), { code: 78, stderr: /^CTM_CONFIG_UNREADABLE: --config \/no\/such\/file: ENOENT/ });
  const file = configure('wrong', { region: 'r9' }, { mode: 'sometimes', objective: { rto: '1s' } });
  const { code, stderr } = await run(MAIN, '--config', file);
  t.equal(code, 78);
  t.match(stderr, /^CTM_CONFIG_INVALID: 4 problems in .*continuum\.yaml\n/);
  for (const path of ['spec.mode', 'spec.objective.rto', 'local.region', 'local.witness.keyId']) t.match(stderr, `  ${path} = `);
  t.notOk(existsSync(state), 'and nothing was touched');
});

t.test('files that the configuration names are looked at before anything starts: exit 78', async (t) => {
  const cases: [string, Change, RegExp][] = [
    ['no-token', { api: { address: ADDRESS, port: apiPort, tokenFile: '/no/such/token' } }, /^CTM_CONFIG_UNREADABLE: local\.api\.tokenFile \/no\/such\/token: ENOENT/],
    ['empty-token', { api: { address: ADDRESS, port: apiPort, tokenFile: '/dev/null' } }, /^CTM_CONFIG_INVALID: local\.api\.tokenFile \/dev\/null: its token has 0 characters, use at least 16/],
    ['no-key', { witness: { keyId: 'r1/1', privateKeyFile: '/no/such/key' } }, /^CTM_CONFIG_INVALID: .*\/no\/such\/key/],
    ['bad-key', { witness: { keyId: 'r1/1', privateKeyFile: join(folder, 'bad-key', 'token') } }, /^CTM_CONFIG_INVALID: .*privateKey/],
    ['odd-token', { api: { address: ADDRESS, port: apiPort, tokenFile: join(folder, 'odd-token', 'odd') } }, /^CTM_CONFIG_INVALID: local\.api\.tokenFile .*: use one line of ASCII characters without spaces/],
    ['bad-folder', { stateDir: '/dev/null/state' }, /^CTM_CONFIG_UNREADABLE: local\.stateDir \/dev\/null\/state: /],
  ];
  for (const [name, local, message] of cases) {
    const { code, stderr } = await run(MAIN, '--config', configure(name, local));
    t.equal(code, 78, name);
    t.match(stderr, message);
    t.notMatch(stderr, TOKEN);
  }
});

t.test('a state file that is not whole: exit 78, the file is named and stays as it is', async (t) => {
  const config = configure('state');
  const file = join(state, 'controller.json');
  rmSync(state, { recursive: true, force: true });
  mkdirSync(state);
  writeStateFile(file, { instance: '7b1c9f6e-2f53-4b0e-9a6a-3c4c7f0a0b11', epoch: 41 });
  const whole = readFileSync(file, 'utf8');
  const damaged: [string, RegExp][] = [
    [whole.slice(0, whole.length / 2), /half-written or damaged/],
    ['', /half-written or damaged/],
    [whole.replace('41', '40'), /its checksum does not match/],
    ['{}', /not a state file of this program/],
  ];
  for (const [content, why] of damaged) {
    writeFileSync(file, content);
    const { code, stderr } = await run(MAIN, '--config', config);
    t.equal(code, 78);
    t.match(stderr, `CTM_STATE_FILE_CORRUPT: ${file}: `);
    t.match(stderr, why);
    t.equal(readFileSync(file, 'utf8'), content, 'an operator decides what becomes of it');
  }
  writeStateFile(file, { instance: 'no uuid', epoch: 41 });
  t.match(await run(MAIN, '--config', config), { code: 78, stderr: /CTM_STATE_FILE_CORRUPT: .*not this version's content/ });
  const newer = { instance: '7b1c9f6e-2f53-4b0e-9a6a-3c4c7f0a0b11', epoch: 41, region: 'r1' };
  writeStateFile(file, newer);
  const { code, stderr } = await run(MAIN, '--config', config);
  t.equal(code, 78);
  t.equal(stderr, `CTM_STATE_FILE_NEWER: ${file}: written by a newer version (this one does not know region); start that version again. Nothing was changed\n`);
  t.same(readStateFile(file), newer);
  t.notOk(existsSync(join(state, 'audit.jsonl')), 'it never got to do anything');
  rmSync(state, { recursive: true });
});

t.test('a crash between write and rename of the state is survived: the old state counts', async (t) => {
  mkdirSync(state);
  const file = join(state, 'controller.json');
  const saved = { instance: '7b1c9f6e-2f53-4b0e-9a6a-3c4c7f0a0b11', epoch: 41 };
  writeStateFile(file, saved);
  writeFileSync(`${file}.next`, '{"sha256":"');
  const controller = await begin(configure('next'), 'next');
  const first = await waitFor('its first entry', () => readAudit(join(state, 'audit.jsonl')).entries[0]);
  t.match(first, { event: 'started', detail: saved });
  await controller.stop();
});

t.test('a port in use: exit 75 with the port named, before anything was done', async (t) => {
  rmSync(state, { recursive: true, force: true });
  const config = configure('port');
  const other = createServer().listen(apiPort, ADDRESS);
  await once(other, 'listening');
  t.match(await run(MAIN, '--config', config), {
    code: 75,
    stderr: `CTM_API_LISTEN: local.api ${ADDRESS}:${apiPort}: the port is in use; stop what listens there or choose another\n`,
  });
  t.notOk(existsSync(join(state, 'audit.jsonl')), 'nothing is recorded: it did not start');
  t.doesNotThrow(takeLock(join(state, 'controller.lock')), 'and its lock is free');
  other.close();
  await once(other, 'close');
});

t.test('a second controller ends with 75 and says what the first one holds', async (t) => {
  const first = await begin(configure('first'), 'first');
  await waitFor('the first controller', async () => (await fetch(`http://${ADDRESS}:${apiPort}/healthz`)).ok);
  t.match(await run(MAIN, '--config', configure('first')), {
    code: 75,
    stderr: new RegExp(`^CTM_STATE_LOCKED: .*controller\\.lock: process ${first.pid} runs a controller on this state directory`),
  });
  const otherPort = await freePort(ADDRESS);
  const api = { address: ADDRESS, port: otherPort, tokenFile: join(folder, 'first', 'token') };
  const elsewhere = join(folder, 'other-state');
  t.match(await run(MAIN, '--config', configure('same-socket', { stateDir: elsewhere, api })), { code: 75, stderr: /^CTM_GATE_LINK_IN_USE: .*gate\.sock/ });
  t.match(await run(MAIN, '--config', configure('same-port', { stateDir: elsewhere, gate: { socket: join(folder, 'gate-2.sock') } })), {
    code: 75,
    stderr: new RegExp(`^CTM_API_LISTEN: local\\.api ${ADDRESS}:${apiPort}: `),
  });
  const database = { binDir: folder, dataDir: join(folder, 'alias', 'data'), logFile: join(folder, 'l'), passFile: join(folder, 'p'), ...(process.getuid?.() === 0 ? { runAs: { uid: 65_534, gid: 65_534 } } : {}) };
  symlinkSync(join(folder, 'first'), join(folder, 'alias'));
  const sameData = configure('same-data', { stateDir: elsewhere, api, gate: { socket: join(folder, 'gate-2.sock') }, database });
  t.match(await run(MAIN, '--config', sameData), {
    code: 75,
    stderr: new RegExp(`^CTM_STATE_LOCKED: .*first/data\\.controller: process ${first.pid} runs a controller on this data directory`),
  }, 'two would rejoin one cluster against each other');
  t.doesNotThrow(takeLock(join(elsewhere, 'controller.lock')), 'and it keeps nothing');
  t.ok(first.running(), 'the first one is not disturbed');
  await first.stop();
  t.equal(await first.exited, 'code 0');
});

t.test('a witness that cannot be reached keeps a controller from acting, not from saying so', async (t) => {
  const controller = await begin(configure('alone'), 'alone');
  const status = await waitFor('its status', async () => {
    const reply = await fetch(`http://${ADDRESS}:${apiPort}/v1/status`, { headers: { authorization: `Bearer ${TOKEN}` } });
    const body = (await reply.json()) as { witnessProblem: string | null };
    return body.witnessProblem === null ? null : body;
  });
  t.match(status, { phase: { kind: 'starting' }, actingEpoch: 0, validityMs: 0, lease: null, witnessProblem: 'CTM_REGISTER_UNREACHABLE' });
  await controller.kill();
});

t.test('what an earlier run recorded is still shown, and can be proved whole, against the controller\'s own log too', async (t) => {
  const config = configure('evidence');
  for (const name of ['evidence-1', 'evidence-2']) {
    const controller = await begin(config, name);
    await waitFor('its API', async () => (await fetch(`http://${ADDRESS}:${apiPort}/healthz`)).ok);
    const { stdout } = await run(CLI, 'events', '--config', config, '--output', 'json');
    const starts = stdout.trimEnd().split('\n').map((line) => JSON.parse(line)).filter(({ event }) => event === 'started');
    if (name === 'evidence-2') t.ok(starts.length >= 2, 'those of the run before too');
    await controller.stop();
  }
  const verify = (...args: string[]) => run(CLI, 'events', '--verify', '--config', config, ...args);
  const head = /"audit":"(\d+:[0-9a-f]{64})"/.exec(readFileSync(join(folder, 'evidence-2.log'), 'utf8'))?.[1] ?? '';
  t.match(await verify('--head', head), { code: 0, stdout: /one chain, and none is missing at its end[\s\S]*for --head: \d+:/ });
  t.match(await verify('--head', '7'), { code: 2, stderr: /^--head 7: use SEQ:HASH/ });
  t.match(await verify('--head', `${Number.parseInt(head, 10)}:${'0'.repeat(64)}`), { code: 1, stdout: /NOT WHOLE: entry \d+ is not the one that was written/ });
  const log = join(state, 'audit.jsonl');
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
  writeFileSync(log, `${lines.slice(0, -1).join('\n')}\n`);
  t.match(await verify(), { code: 1, stdout: /NOT WHOLE: entry \d+ was written, and the log ends with entry \d+/ });
  writeFileSync(log, lines.join('\n').replace('"started"', '"stopped"'));
  t.match(JSON.parse((await verify('--output', 'json')).stdout), { ok: false, problems: [/does not follow from the one before/] });
  rmSync(state, { recursive: true });
  t.match(await verify(), { code: 1, stdout: /there is no entry/ });
});

t.test('the command line: wrong use is 2, nobody there is 3, a bad file is named', async (t) => {
  const config = configure('cli');
  t.match(await run(CLI, '--help'), { code: 0, stdout: /continuum switchover --to REGION/ });
  t.match(await run(CLI, 'destroy', '--config', config), { code: 2, stderr: /^"destroy" is not a command/ });
  t.match(await run(CLI, 'status', '--colour'), { code: 2, stderr: /^Unknown option '--colour'/ });
  t.match(await run(CLI, 'status', 'now', '--config', config), { code: 2, stderr: /^what is "now"\?/ });
  t.match(await run(CLI, 'status'), { code: 2, stderr: /^name the controller/ });
  t.match(await run(CLI, 'status', '--config', config, '--output', 'xml'), { code: 2, stderr: /^--output xml: use text or json/ });
  t.match(await run(CLI, 'plan', '--config', config), { code: 2, stderr: /^name the region that is to take over/ });
  t.match(await run(CLI, 'status', '--config', '/no/such/file'), { code: 2, stderr: /^--config \/no\/such\/file: ENOENT/ });
  t.match(await run(CLI, 'status', '--config', config), { code: 3, stderr: new RegExp(`^no controller at http://${ADDRESS}:${apiPort}: `) });
});

t.test('the command line checks a configuration without a controller', async (t) => {
  const good = await run(CLI, 'check', '--config', configure('cli'), '--output', 'json');
  t.equal(good.code, 0);
  t.match(JSON.parse(good.stdout), { ok: true, region: 'r1', mode: 'automatic', timings: { ttlMs: 5_000, renewMs: 1_666 } });
  const wrong = configure('cli-wrong', {}, { mode: 'sometimes', timings: { ttl: '9s' } });
  const brief = configure('cli-names', {}, { dns: { zone: 'app.test', names: ['app.test', '*.app.test'] } });
  t.match((await run(CLI, 'check', '--config', brief)).stdout, /\nnames +app\.test, \*\.app\.test in zone app\.test\nresolvers +8\.8\.8\.8 \(google\), 1\.1\.1\.1 \(cloudflare\), 9\.9\.9\.9 \(quad9\)\n$/);
  t.match(JSON.parse((await run(CLI, 'check', '--config', brief, '--output', 'json')).stdout), { dns: { resolvers: [{ address: '8.8.8.8', port: 53, vendor: 'google' }, {}, {}] } });
  t.match(await run(CLI, 'check', '--config', wrong), { code: 2, stderr: /2 problems in .*\n.*spec\.mode = "sometimes"[\s\S]*the worst case is lease ttl 9000 ms/ });
  const listed = await run(CLI, 'check', '--config', wrong, '--output', 'json');
  t.equal(listed.code, 2);
  t.match(JSON.parse(listed.stdout), { ok: false, problems: [{ path: 'spec.mode' }, { path: 'spec.objective.rto' }] });
});
