// The wrong-input tour: what a tired person writes into a configuration at night. Each mistake is told with its line, its field, what
// stands there and what to write instead; in one line, and never as a trace.

import t from 'tap';
import { parseNames } from './dns-spec.ts';
import { formatProblems, parseConfig } from './spec.ts';
import type { ConfigProblem } from './spec.ts';

const KEY = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8';
const GOOD = `apiVersion: continuum.dev/v1alpha1
kind: Continuum
metadata: { name: counter }
spec:
  placement: active-hotstandby
  mode: automatic
  objective: { rto: 10s }
  regions:
    - name: r1
      gateway: { address: 192.0.2.10, port: 443 }
      database: { host: db.r1.example, port: 5432 }
    - name: r2
      gateway: { address: 192.0.2.20, port: 443 }
      database: { host: db.r2.example, port: 5432 }
  database: { kind: postgres }
  gateway: { kind: envoy }
  dns:
    name: counter.app.example
    resolvers:
      - { name: google, address: 8.8.8.8 }
      - { name: cloudflare, address: 1.1.1.1 }
      - { name: quad9, address: 9.9.9.9 }
  witness:
    url: https://witness.example
    lease: counter
    publicKeys: { witness/1: ${KEY} }
local:
  region: r1
  stateDir: /var/lib/continuum
  api: { address: 127.0.0.1, port: 8640, tokenFile: /etc/continuum/token }
  witness: { keyId: r1/2026-11, privateKeyFile: /etc/continuum/key.pem }
  gate: { socket: /run/continuum/gate.sock }
  gateway: { routeFile: /etc/envoy/routes/routes.json, admin: { address: 127.0.0.1, port: 9901 } }
  database:
    binDir: /usr/lib/postgresql/15/bin
    dataDir: /var/lib/postgresql/15/counter
    logFile: /var/log/postgresql/counter.log
    passFile: /etc/continuum/pgpass
`;

/** What is replaced by what, and the problem: line, field, what stands there, what to write. */
type Stop = readonly [before: string, after: string, line: number | null, path: string, value: string, fix: RegExp];

const NAME = /^use 1 to 31 of a-z, 0-9 and -$/;
const DURATION = /^use a duration such as 500ms, 10s or 1m$/;
const PORT = /^use 1 to 65535$/;
const ADDRESS = /^use an IPv4 or IPv6 address, without brackets, port or zone$/;
const PUBLIC_KEY = /^public key witness\/1: use the 32 bytes of an Ed25519 public key in base64url, or a JWK$/;
const OUTSIDE = /^use a place outside local\.database\.dataDir/;
const HIDDEN = '(not shown)';
const [RTO, GATEWAY_PORT, GATEWAY, HOST] = ['spec.objective.rto', 'spec.regions[0].gateway.port', 'spec.regions[0].gateway.address', 'spec.regions[0].database.host'];
const PINNED = 'spec.witness.publicKeys.witness/1';
const DATA = '/var/lib/postgresql/15/counter';

const STOPS: readonly Stop[] = [
  ['rto: 10s', 'rto: 10', 7, RTO, '10', DURATION],
  ['rto: 10s', 'rto: 10 s', 7, RTO, '"10 s"', DURATION],
  ['rto: 10s', 'rto: 1h', 7, RTO, '"1h"', DURATION],
  ['rto: 10s', 'rto: -1s', 7, RTO, '"-1s"', DURATION],
  ['rto: 10s', 'rto: 1e3ms', 7, RTO, '"1e3ms"', DURATION],
  ['rto: 10s', 'rto: [10s]', 7, RTO, '(a list)', DURATION],
  ['rto: 10s', 'rto:', 7, RTO, 'null', DURATION],
  ['rto: 10s', 'rto: 0s', 7, RTO, '"0s"', /^use at least 2000 ms$/],
  ['rto: 10s', `rto: ${'9'.repeat(80)}s`, 7, RTO, `"${'9'.repeat(56)}...`, /^use at most 1440m$/],
  ['  mode: automatic', '  mode: automatic\n  timings: { ttl: 60s }', 8, RTO, '10000 ms', /worst case is lease ttl 60000 ms .* = 64100 ms, above the objective/],
  ['  mode: automatic', '  mode: automatic\n  timings: { tll: 6s }', 7, 'spec.timings.tll', '"6s"', /^unknown key/],
  ['mode: automatic', 'mode: yes', 6, 'spec.mode', '"yes"', /^use automatic, semi-automatic or manual$/],
  ['v1alpha1', 'v1', 1, 'apiVersion', '"continuum.dev/v1"', /^use continuum\.dev\/v1alpha1$/],
  ['port: 443', 'port: 0', 10, GATEWAY_PORT, '0', PORT],
  ['port: 443', 'port: 65536', 10, GATEWAY_PORT, '65536', PORT],
  ['port: 443', 'port: "443"', 10, GATEWAY_PORT, '"443"', /^use a port number$/],
  ['port: 443', 'port: 4.43', 10, GATEWAY_PORT, '4.43', /^use a whole number$/],
  ['address: 192.0.2.10', 'address: "[2001:db8::1]"', 10, GATEWAY, '"[2001:db8::1]"', ADDRESS],
  ['address: 192.0.2.10', 'address: "192.0.2.10:443"', 10, GATEWAY, '"192.0.2.10:443"', ADDRESS],
  ['address: 192.0.2.10', 'address: gw.example', 10, GATEWAY, '"gw.example"', ADDRESS],
  ['address: 192.0.2.10', 'address: "fe80::1%eth0"', 10, GATEWAY, '"fe80::1%eth0"', ADDRESS],
  ['address: 192.0.2.10', 'address: 0.0.0.0', 10, GATEWAY, '"0.0.0.0"', /^use the address at which it is reached$/],
  ['admin: { address: 127.0.0.1', 'admin: { address: "::"', 33, 'local.gateway.admin.address', '"::"', /^use the address at which it is reached$/],
  ['db.r1.example', '"db.r1.example:5432"', 11, HOST, '"db.r1.example:5432"', /^use a host name or an address; the port stands under port$/],
  ['db.r1.example', '"postgres://ann:hunter2@db"', 11, HOST, HIDDEN, /^use a host name/],
  ['name: r1', 'name: "r1\\n"', 9, 'spec.regions[0].name', '"r1\\n"', NAME],
  ['name: r1', 'name: rÉ1', 9, 'spec.regions[0].name', '"rÉ1"', NAME],
  ['name: r1', 'name: 1', 9, 'spec.regions[0].name', '1', /^give a text here$/],
  ['name: r1', 'name: witness', 9, 'spec.regions[0].name', 'witness', /^use another name/],
  ['name: r2', 'name: r1', 9, 'spec.regions', 'r1, r1', /^give each region its own name$/],
  ['192.0.2.20', '192.0.2.10', 13, 'spec.regions[1].gateway', '(a map)', /^give each region a gateway of its own$/],
  ['db.r2', 'db.r1', 14, 'spec.regions[1].database', '(a map)', /^give each region a database of its own$/],
  ['  region: r1', '  region: r2', 31, 'local.witness.keyId', HIDDEN, /^use a key of region r2: r2\/<label>$/],
  ['  region: r1', '  region: r3', 28, 'local.region', 'r3', /^use one of r1, r2$/],
  [KEY, 'AAAA', 26, PINNED, HIDDEN, PUBLIC_KEY],
  [KEY, 'MC4CAQAwBQYDK2VwBCIEIHVubGVzcyB5b3Uga25vdyB0aGUgc2VjcmV0IG9mIGl0', 26, PINNED, HIDDEN, PUBLIC_KEY],
  [KEY, `'{"kty":"EC","crv":"P-256","x":"abc","y":"def"}'`, 26, PINNED, HIDDEN, PUBLIC_KEY],
  [`{ witness/1: ${KEY} }`, '{}', 26, 'spec.witness.publicKeys', '{}', /^pin at least one/],
  ['witness/1:', 'witness:', 26, 'spec.witness.publicKeys.witness', HIDDEN, /^key id witness: use <region>\/<label>/],
  [`${KEY} }`, `${KEY}, witness/2: ${KEY} }`, 26, 'spec.witness.publicKeys.witness/2', HIDDEN, /^use another key than witness\/1/],
  ['https://witness.example', 'https://witness.example/v1', 24, 'spec.witness.url', '"https://witness.example/v1"', /^use the origin only/],
  ['https://witness.example', 'https://ann:hunter2@witness.example', 24, 'spec.witness.url', HIDDEN, /^use the origin only/],
  ['https://witness.example', 'http://witness.example', 24, 'spec.witness.url', '"http://witness.example"', /^use https: http is for a loopback address$/],
  ['https://witness.example', 'witness.example', 24, 'spec.witness.url', '"witness.example"', /^use an http or https URL$/],
  ['counter.app.example', 'counter.app.example.', 18, 'spec.dns.name', '"counter.app.example."', /without a dot at its end$/],
  ['counter.app.example', 'zähler.app.example', 18, 'spec.dns.name', '"zähler.app.example"', /^use a domain name/],
  ['name: counter.app.example', 'names: [app.example, "*.app.example"]', null, 'spec.dns.zone', '(nothing)', /^give the zone of spec\.dns\.names/],
  ['name: counter.app.example', 'name: app.example\n    names: [app.example]', 18, 'spec.dns.name', '"app.example"', /^remove it: spec\.dns\.names is given/],
  ['    name: counter.app.example\n', '', null, 'spec.dns.name', '(nothing)', /^give it, or several under spec\.dns\.names$/],
  ['name: counter.app.example', 'name: counter.app.example\n    zone: other.example', 18, 'spec.dns.name', '"counter.app.example"', /^use a name in the zone other\.example\.$/],
  ['name: counter.app.example', 'name: counter.app.example\n    zone: "a b"', 19, 'spec.dns.zone', '"a b"', /^use a domain name such as/],
  ['name: counter.app.example', 'zone: app.example\n    names:\n      - app.example\n      - www.app.example\n      - WWW.app.example', 22, 'spec.dns.names[2]', '"WWW.app.example"', /^use each name once: names\[1\] is the same$/],
  ['name: counter.app.example', 'zone: app.example\n    names:\n      - app.example\n      - www.example', 21, 'spec.dns.names[1]', '"www.example"', /^use a name in the zone app\.example\.$/],
  ['name: counter.app.example', 'zone: app.example\n    names:\n      - app.example\n      - "a.*.app.example"', 21, 'spec.dns.names[1]', '"a.*.app.example"', /^use the wildcard first and alone/],
  ['name: counter.app.example', 'zone: app.example\n    names:\n      - "*.app.example"', 20, 'spec.dns.names', '(a list)', /^use at least one name that is no wildcard/],
  ['name: counter.app.example', `zone: app.example\n    names: [app.example, ${'a'.repeat(64)}.app.example]`, 19, 'spec.dns.names[1]', `"${'a'.repeat(56)}...`, /^use at most 63 characters between two dots$/],
  ['name: counter.app.example', `name: ${'a.'.repeat(125)}example`, 18, 'spec.dns.name', `"${'a.'.repeat(28)}...`, /^use at most 253 characters$/],
  ['1.1.1.1', '8.8.8.8', 21, 'spec.dns.resolvers[1].address', '"8.8.8.8"', /^give each resolver an address of its own/],
  ['name: quad9', 'name: google', 22, 'spec.dns.resolvers[2].name', '"google"', /^give each resolver a name of its own/],
  ['      - { name: quad9, address: 9.9.9.9 }\n', '', 20, 'spec.dns.resolvers', '(a list)', /^name three resolvers/],
  ['stateDir: /var/lib/continuum', 'stateDir: continuum', 29, 'local.stateDir', '"continuum"', /^write the absolute path/],
  ['stateDir: /var/lib/continuum', 'stateDir: ~/continuum', 29, 'local.stateDir', '"~/continuum"', /^write the absolute path/],
  ['stateDir: /var/lib/continuum', 'stateDir: "/var\\0x"', 29, 'local.stateDir', '"/var\\u0000x"', /^write the absolute path/],
  ['stateDir: /var/lib/continuum', `stateDir: ${DATA}/state`, 29, 'local.stateDir', `"${DATA}/state"`, OUTSIDE],
  ['/var/log/postgresql/counter.log', DATA, 37, 'local.database.logFile', `"${DATA}"`, OUTSIDE],
  [`dataDir: ${DATA}`, `dataDir: ${DATA}/`, 36, 'local.database.dataDir', `"${DATA}/"`, /^leave out the slash/],
  ['/run/continuum/gate.sock', `/${'x'.repeat(107)}`, 32, 'local.gate.socket', `"/${'x'.repeat(55)}...`, /at most 107 bytes/],
  ['passFile: /etc/continuum/pgpass', 'passFile: /etc/continuum/pgpass\n    runAs: { uid: 0, gid: 1 }', 39, 'local.database.runAs.uid', '0', /does not run as root$/],
  ['passFile: /etc/continuum/pgpass', 'passFile: /etc/continuum/pgpass\n    runAs: { uid: ann, gid: 1 }', 39, 'local.database.runAs.uid', '"ann"', /^use its number$/],
  ['tokenFile: /etc/continuum/token', 'tokenFile: /etc/continuum/token, token: hunter2', 30, 'local.api.token', HIDDEN, /^unknown key/],
  [', tokenFile: /etc/continuum/token', '', null, 'local.api.tokenFile', '(nothing)', /^write the absolute path of the file with the API's token$/],
  ['  witness:\n    url', '  dnsRegister: { address: 192.0.2.1, zone: l.example, lease: x }\n  witness:\n    url', 23, 'spec.dnsRegister', '(a map)', /^remove it: spec\.register is witness/],
  ['  mode:', '\tmode:', 6, '(file)', 'not YAML', /^indent with spaces/],
  ['  mode:', ' mode:', 6, '(file)', 'not YAML', /^indent this line like the others/],
  ['mode: automatic', 'mode automatic', 6, '(file)', 'not YAML', /^write ": " after the key/],
  ['  mode: automatic', '  mode: automatic\n  mode: manual', 7, '(file)', 'the key "mode"', /^it stands here for the second time/],
  ['mode: automatic', 'mode: *whatever', 6, '(file)', 'an alias', /^write the value out/],
  ['mode: automatic', 'mode: !!binary YXV0bw==', 6, '(file)', 'a tag, tag:yaml.org,2002:binary', /^leave the tag out/],
  ['  mode:', '  ? [mode]\n  :', 6, '(file)', 'a key that is no text', /^give a name before the colon/],
  ['kind: Continuum\n', 'kind: Continuum\n---\n', 3, '(file)', 'not YAML', /^keep one document/],
  ['mode: automatic', `${'k'.repeat(2_000)}: 1`, 6, '(file)', 'not YAML', /^write a shorter key/],
];

const problemsOf = (text: string): readonly ConfigProblem[] => {
  const parsed = parseConfig(text);
  return parsed.ok ? [] : parsed.problems;
};

t.test('what the tour starts from is right', async (t) => {
  t.same(problemsOf(GOOD), []);
  t.same(problemsOf(`\uFEFF${GOOD.replaceAll('\n', '\r\n')}`), [], 'also as some editors save it');
});

t.test('each mistake is told by line, field, value and what to write', async (t) => {
  for (const [before, after, line, path, value, fix] of STOPS) {
    const what = `${before} -> ${after}`.slice(0, 120);
    t.ok(GOOD.includes(before), `${what}: is there`);
    const problems = problemsOf(GOOD.replace(before, () => after));
    t.match(problems.find((one) => one.path === path), { path, value, fix, line }, what);
    const text = formatProblems('f', problems);
    t.notMatch(text, /hunter2|dW5sZXNz|\n {4}at |undefined|\[object/, `${what}: nothing of a secret and nothing of a program`);
    t.ok(problems.length <= 3, `${what}: ${problems.length} problems`);
  }
});

t.test('a file that is no configuration at all ends in a line or two, and soon', async (t) => {
  const files: Record<string, [string, RegExp]> = {
    empty: ['', /^the file is empty/],
    comments: ['# nothing yet\n', /^the file is empty/],
    list: ['- a\n', /^give a map here$/],
    text: ['hello', /^give a map here$/],
    'deep list': ['['.repeat(20_000), /^nest it less deeply/],
    'deep map': [Array.from({ length: 1_200 }, (_, index) => `${' '.repeat(index)}a:`).join('\n'), /^(nest it less deeply|unknown key|give something here)/],
    'alias bomb': [`a: &a [x]\n${Array.from({ length: 30 }, (_, index) => `b${index}: [*a, *a]`).join('\n')}`, /^write the value out/],
    huge: ['x: 1\n'.repeat(2_000_000), /^give a configuration of at most/],
  };
  for (const [what, [text, fix]] of Object.entries(files)) {
    const problems = problemsOf(text);
    t.match(problems[0]?.fix, fix, what);
    t.ok(formatProblems('f', problems).length < 5_000, `${what}: and is not a screen full`);
    const names = parseNames(text, '5.0');
    t.match(names, { ok: false, problems: [{ fix }] }, `${what}: for names too`);
  }
});

t.test('a specification of names is told as well as any other file', async (t) => {
  const names = `apiVersion: continuum.dev/v1alpha1
kind: ContinuumNames
metadata: { name: shop }
spec:
  placement: active-active
  zone: shop.example
  names: [shop.example]
  ttlSeconds: 5
  regions:
    - { name: r1, addresses: [192.0.2.1] }
  probe: { port: 80, path: /healthz }
`;
  const stops: [string, string, object][] = [
    ['ttlSeconds: 5', 'ttlSeconds: 5s', { path: 'spec.ttlSeconds', value: '"5s"', fix: 'give a number here', line: 8 }],
    ['port: 80', 'port: 0', { path: 'spec.probe.port', value: '0', fix: 'use 1 to 65535', line: 11 }],
    ['placement: active-active', 'placement: both', { path: 'spec.placement', value: '"both"', fix: /^use single-region, active-active/, line: 5 }],
    ['  zone:', '  zome:', { path: 'spec.zome', fix: /^unknown key/, line: 6 }],
    ['ContinuumNames', 'Names', { path: 'kind', value: '"Names"', fix: /^use ContinuumNames/, line: 2 }],
    ['  zone:', '\tzone:', { path: '(file)', value: 'not YAML', fix: /^indent with spaces/, line: 6 }],
    ['  ttlSeconds: 5', '  ttlSeconds: 5\n  ttlSeconds: 6', { path: '(file)', fix: /second time/, line: 9 }],
  ];
  t.ok(parseNames(names, '5.0').ok);
  for (const [before, after, problem] of stops) t.match(parseNames(names.replace(before, after), '5.0'), { ok: false, problems: [problem] }, after);
  t.match(parseNames(GOOD.replace('port: 443', 'port: 0'), '5.0'), { ok: false, problems: [{ path: GATEWAY_PORT, line: 10 }] }, 'and so is the one of a controller');
});
