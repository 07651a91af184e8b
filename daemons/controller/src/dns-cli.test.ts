// The two commands about names: what is rendered, how answers are judged, and what a script gets to see.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { freePort, runFolder } from '../../../test/rig/process.ts';
import { startRegisterAuthority } from '../../../test/rig/register-authority.ts';
import { checkServer, createLease, judge, renderCommand } from './dns-cli.ts';

const CLI = fileURLToPath(new URL('./cli.ts', import.meta.url));
const NAMES = `apiVersion: continuum.dev/v1alpha1
kind: ContinuumNames
metadata: { name: shop }
spec:
  placement: active-active
  select: weighted
  zone: shop.example
  names: [shop.example, '*.shop.example']
  ttlSeconds: 5
  regions:
    - { name: r1, addresses: [192.0.2.1], weight: 2 }
    - { name: r2, addresses: [198.51.100.1] }
  probe: { port: 80, path: /healthz, failures: 3 }
`;

const run = (...args: string[]) => spawnSync(process.execPath, [CLI, 'dns', ...args], { encoding: 'utf8' });

t.test('render: text for people, JSON for scripts, notes when something is lowered, exit codes', async (t) => {
  const folder = runFolder('dns-cli');
  const file = join(folder, 'names.yaml');
  writeFileSync(file, NAMES);
  const old = run('render', '-f', file, '--pdns', '4.9.2');
  t.equal(old.status, 0, old.stderr);
  t.match(old.stdout, /^; lowered: probe.failures 3: PowerDNS 4.9 does not know it/);
  t.match(old.stdout, /\*\.shop\.example\. 5 IN LUA A "ifurlup\('http:\/\/shop.example:80\/healthz',\{'192.0.2.1','192.0.2.1','198.51.100.1'\}/);
  const explained = run('render', '-f', file, '--pdns', '5.1', '--explain', '--output', 'json');
  t.match(JSON.parse(explained.stdout), { ok: true, lua: [{ type: 'LUA' }, {}], notes: [{ kind: 'needs' }, { kind: 'static' }], explain: [/^active-active/] });
  t.equal(run('render', '-f', file, '--pdns', '9').status, 2);
  t.equal(run('render', '-f', file).status, 2);
  t.equal(run('sing', '-f', file).status, 2);
  writeFileSync(file, NAMES.replace('192.0.2.1]', "'x', '192.0.2.1']"));
  const wrong = run('render', '-f', file, '--pdns', '5.0');
  t.equal(wrong.status, 2);
  t.match(wrong.stderr, /regions\[0\]\.addresses = "x"/);
});

t.test('unknown keys and missing sections are problems with their path', async (t) => {
  t.match(renderCommand('f', NAMES.replace('select:', 'choose:'), '5.0', false), { exitCode: 2, text: /spec/ });
  t.match(renderCommand('f', 'kind: Other', '5.0', false), { exitCode: 2, text: /ContinuumNames/ });
  t.match(renderCommand('f', '{', '5.0', false), { exitCode: 2 });
  t.match(renderCommand('f', 'kind: Continuum', '5.0', false), { exitCode: 2, text: /apiVersion/ });
  t.match(renderCommand('f', NAMES.replace('active-active', 'active-hotstandby'), '5.0', false), { exitCode: 2, text: /lease/ });
});

t.test('an answer is right when it is the holder alone and no older than what is published', async (t) => {
  const regions = { r1: ['192.0.2.1', '192.0.2.3'], r2: ['192.0.2.2'] };
  const say = (addresses: readonly string[], ttlSeconds = 3) => ({ resolver: '9.9.9.9', status: 'answered' as const, addresses, ttlSeconds });
  t.match(judge(say(['192.0.2.1']), regions, 'r1', 5), { verdict: 'match', ageSeconds: 2, regions: ['r1'] });
  t.match(judge(say(['192.0.2.2']), regions, 'r1', 5), { verdict: 'differs', regions: ['r2'] });
  t.match(judge(say(['192.0.2.3', '192.0.2.1']), regions, 'r1', 5), { verdict: 'match', regions: ['r1', 'r1'] }, 'a region may have several addresses');
  t.match(judge(say(['192.0.2.1', '192.0.2.2']), regions, 'r1', 5), { verdict: 'differs' });
  t.match(judge(say(['203.0.113.9']), regions, 'r1', 5), { verdict: 'differs', regions: ['?'] });
  t.match(judge(say(['192.0.2.1'], 60), regions, 'r1', 5), { verdict: 'differs', detail: /above the 5 s/ });
  t.match(judge(say(['2001:db8::1']), { r1: ['2001:DB8:0::1'] }, 'r1', 5), { verdict: 'match' });
  t.match(judge(say(['192.0.2.1']), regions, null, 5), { verdict: 'differs' }, 'nobody holds it');
  t.match(judge(say(['192.0.2.1']), regions, undefined, 5), { verdict: 'unjudged' }, 'not known is not right');
  t.match(judge({ resolver: 'x', status: 'abstained', reason: 'ESERVFAIL' }, regions, 'r1', 5), { verdict: 'no-answer', ageSeconds: null, detail: 'ESERVFAIL' });
});

t.test('a register is set up: the server is judged, a lease is made once, and never replaced', async (t) => {
  const address = '127.44.3.1';
  const zone = 'register.test';
  const options = { folder: runFolder('dns-cli-register'), address, dnsPort: await freePort(address), apiPort: await freePort(address), zone, regions: ['r1'], leases: [] };
  const authority = await startRegisterAuthority(options);
  t.teardown(() => authority.process.kill());
  const { url, apiKey } = authority.api;
  const keyFile = join(options.folder, 'api-key');
  const check = (key: string, at = url) => {
    writeFileSync(keyFile, key);
    return checkServer({ api: at, apiKeyFile: keyFile }, zone);
  };
  t.match(await check(`${apiKey}\n`), { exitCode: 0, value: { ok: true } });
  t.match(await check('wrong'), { exitCode: 1, text: /^CTM_DNS_UNAUTHORIZED/ });
  t.match(await check('\n'), { exitCode: 2, text: /^CTM_KEY_INVALID: --api-key-file .*: use one line/ });
  t.match(await checkServer({ api: url, apiKeyFile: join(options.folder, 'none') }, zone), { exitCode: 2, text: /^CTM_CONFIG_UNREADABLE: --api-key-file .*ENOENT/ });
  t.match(await check(apiKey, 'http://192.0.2.53:8081'), { exitCode: 2, text: /^--api: use https, or http on a loopback address/ }, 'the key never crosses a network in the clear');
  t.match(await check(apiKey, 'localhost:8081'), { exitCode: 2, text: /^--api: use an http or https URL/ });
  const config = { spec: { dnsRegister: { address, port: options.dnsPort, zone, lease: 'shop' } }, local: { region: 'r1', dnsRegister: { keyName: 'r1-lease', keyFile: '-' } } };
  const secret = authority.keys['r1']?.secret ?? '';
  const server = { api: url, apiKeyFile: keyFile };
  await check(apiKey);
  t.match(await createLease(config, secret, { epoch: 4, inSync: ['r1'] }, server), { exitCode: 0, text: /first grant has epoch 5/, value: { serverChecked: true } });
  t.match(await createLease(config, secret, null, server), { exitCode: 1, text: /never replaced/ });
  t.match(await authority.register('shop', 'r1').read(AbortSignal.timeout(5_000)), { ok: true, value: { epoch: 4, inSync: ['r1'] } });
  t.match(await createLease({ spec: {}, local: { region: 'r1' } }, secret, null, server), { exitCode: 1, text: /not dns/ });
  const of = (lease: string) => ({ ...config, spec: { dnsRegister: { ...config.spec.dnsRegister, lease } } });
  t.match(await createLease(of('other'), secret, null, null), { exitCode: 0, value: { serverChecked: false } }, 'somebody has looked at the server elsewhere');
  t.match(await createLease(of('third'), secret, null, { ...server, apiKeyFile: '/nowhere' }), { exitCode: 2, text: /--api-key-file/ });
  t.match(await authority.register('third', 'r1').read(AbortSignal.timeout(5_000)), { ok: false, failure: { message: /no lease/ } });
});

t.test('who makes a lease names the server to look at, or says that somebody has', async (t) => {
  const server = ['--api', 'http://127.0.0.1:1', '--api-key-file', '/nowhere'];
  for (const wrong of [[], server.slice(0, 2), server.slice(2), [...server, '--unchecked'], ['--unchecked', ...server.slice(0, 2)]]) {
    t.match(run('create-lease', '--config', '/nowhere', ...wrong), { status: 2, stderr: /needs --api URL and --api-key-file FILE.*--unchecked/ });
  }
  for (const right of [server, ['--unchecked']]) t.match(run('create-lease', '--config', '/nowhere', ...right), { status: 2, stderr: /^(?!.*needs --api).*\/nowhere/s });
});

t.test('no lease is made at a server that cannot keep it, and one that was made elsewhere than was looked at is told', async (t) => {
  const zone = 'register.test';
  const begin = async (address: string, settings = {}) => {
    const options = { folder: runFolder('dns-cli-servers'), address, dnsPort: await freePort(address), apiPort: await freePort(address), zone, regions: ['r1'], leases: [] };
    const first = await startRegisterAuthority(options);
    if (Object.keys(settings).length === 0) return { authority: first, options };
    await first.process.kill();
    return { authority: await startRegisterAuthority({ ...options, settings }), options };
  };
  const [fit, volatile] = [await begin('127.44.3.2'), await begin('127.44.3.3', { 'gsqlite3-pragma-synchronous': '0' })];
  t.teardown(() => Promise.all([fit, volatile].map(({ authority }) => authority.process.kill())));
  const attempt = (lease: string, at: typeof fit, judged: typeof fit) => {
    const apiKeyFile = join(judged.options.folder, 'api-key');
    writeFileSync(apiKeyFile, judged.authority.api.apiKey);
    const config = { spec: { dnsRegister: { address: at.options.address, port: at.options.dnsPort, zone, lease } }, local: { region: 'r1', dnsRegister: { keyName: 'r1-lease', keyFile: '-' } } };
    return createLease(config, at.authority.keys['r1']?.secret ?? '', null, { api: judged.authority.api.url, apiKeyFile });
  };
  t.match(await attempt('shop', volatile, volatile), { exitCode: 1, text: /must not keep leases.*synchronous/s });
  t.match(await volatile.authority.register('shop', 'r1').read(AbortSignal.timeout(5_000)), { ok: false, failure: { message: /no lease/ } }, 'nothing was written');
  t.match(await attempt('shop', volatile, fit), { exitCode: 1, text: /has no such record: another server was judged.*127\.44\.3\.3/s });
  t.match(await attempt('shop', fit, fit), { exitCode: 0 });
});
