// A specification of names: read like every configuration file of the project, so every problem has its line, its value and its fix.

import t from 'tap';
import { parseNames } from './dns-spec.ts';
import type { ConfigProblem } from './spec.ts';

const NAMES = `apiVersion: continuum.dev/v1alpha1
kind: ContinuumNames
metadata: { name: shop, generation: 3 }
spec:
  placement: active-active
  select: weighted
  zone: shop.example
  names: [shop.example]
  ttlSeconds: 5
  regions:
    - { name: r1, addresses: [192.0.2.1], weight: 2 }
    - { name: r2, addresses: [198.51.100.1] }
  probe: { port: 80, path: /healthz, failures: 3 }
`;

function problems(text: string): readonly ConfigProblem[] {
  const parsed = parseNames(text, '5.1');
  return parsed.ok ? [] : parsed.problems;
}

t.test('names are read as they are written, without the keys that are not there', async (t) => {
  t.same(parseNames(NAMES, '4.9'), {
    ok: true,
    name: 'shop',
    generation: 3,
    input: {
      placement: 'active-active',
      version: '4.9',
      zone: 'shop.example',
      names: ['shop.example'],
      ttlSeconds: 5,
      regions: [{ region: 'r1', addresses: ['192.0.2.1'], weight: 2 }, { region: 'r2', addresses: ['198.51.100.1'] }],
      select: 'weighted',
      probe: { port: 80, path: '/healthz', failures: 3 },
    },
  });
});

t.test('the locations of a region are read', async (t) => {
  const located = NAMES.replace('[198.51.100.1] }', '[198.51.100.1], locations: { continents: [EU], countries: [US, CA] } }');
  t.match(parseNames(located, '5.0'), { ok: true, input: { regions: [{}, { locations: { continents: ['EU'], countries: ['US', 'CA'] } }] } });
  t.match(problems(located.replace('countries', 'towns')), [{ path: 'spec.regions[1].locations.towns', fix: /^unknown key/, line: 12 }]);
  t.match(problems(located.replace('US', 'USA')), [{ path: 'spec.regions[1].locations.countries[0]', value: '"USA"', fix: 'use at most 2 characters' }]);
});

t.test('every problem at once, each with its line, its value and its fix', async (t) => {
  const wrong = NAMES.replace('active-active', 'everywhere').replace('port: 80', 'port: 0').replace('ttlSeconds: 5', 'ttlSeconds: soon').replace('select:', 'selekt:');
  t.same(problems(wrong), [
    { path: 'spec.placement', value: '"everywhere"', fix: 'use single-region, active-active or active-hotstandby', line: 5 },
    { path: 'spec.selekt', value: '"weighted"', fix: 'unknown key: remove it, or correct its name', line: 6 },
    { path: 'spec.ttlSeconds', value: '"soon"', fix: 'give a number here', line: 9 },
    { path: 'spec.probe.port', value: '0', fix: 'use 1 to 65535', line: 13 },
  ]);
  t.match(problems(NAMES.replace('[192.0.2.1]', `['${'1'.repeat(46)}']`)), [{ path: 'spec.regions[0].addresses[0]', fix: 'use at most 45 characters', line: 11 }]);
});

t.test('what is no map, no YAML, or names values instead of writing them out', async (t) => {
  t.match(problems(''), [{ path: '(file)', fix: /^the file is empty/ }]);
  t.match(problems('- a'), [{ path: '(file)', fix: 'give a map here' }]);
  t.match(problems('spec: [\nsecret'), [{ path: '(file)', value: 'not YAML', line: 2 }]);
  t.notMatch(JSON.stringify(problems('spec: [\nsecret')), /secret/);
  t.match(problems(NAMES.replace('name: shop', 'name: &it shop').replace('select: weighted', 'select: *it')), [{ value: 'an alias', line: 6 }]);
  t.match(problems(`${NAMES}kind: Other\n`), [{ value: 'the key "kind"', line: 14 }], 'a key that is there twice');
  t.match(problems(NAMES.replace('ContinuumNames', 'Other')), [{ path: 'kind', value: '"Other"', fix: /ContinuumNames/, line: 2 }]);
});

t.test('a controller’s file is one of names too; its gateways must share a port', async (t) => {
  const controller = (port: number): string => `apiVersion: continuum.dev/v1alpha1
kind: Continuum
metadata: { name: counter }
spec:
  placement: active-hotstandby
  mode: automatic
  objective: { rto: 30s }
  regions:
    - name: r1
      gateway: { address: 192.0.2.1, port: 80 }
      database: { host: db.r1.example.net, port: 5432 }
    - name: r2
      gateway: { address: 192.0.2.2, port: ${port} }
      database: { host: db.r2.example.net, port: 5432 }
  database: { kind: postgres }
  gateway: { kind: envoy }
  dns:
    name: counter.example.net
    resolvers:
      - { name: one, address: 192.0.2.8 }
      - { name: two, address: 192.0.2.9 }
      - { name: three, address: 192.0.2.10 }
  witness:
    url: https://witness.example.net
    lease: counter
    publicKeys: { witness/1: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 }
local:
  region: r1
  stateDir: /var/lib/continuum
  api: { address: 127.0.0.1, port: 8700, tokenFile: /etc/continuum/token }
  witness: { keyId: r1/1, privateKeyFile: /etc/continuum/key.pem }
  gate: { socket: /run/continuum/gate.sock }
  gateway:
    routeFile: /var/lib/envoy/routes.json
    admin: { address: 127.0.0.1, port: 9901 }
  database:
    binDir: /usr/lib/postgresql/15/bin
    dataDir: /var/lib/postgresql/data
    passFile: /etc/continuum/pgpass
    logFile: /var/log/continuum/postgres.log
`;
  t.match(parseNames(controller(80), '5.0'), {
    ok: true,
    name: 'counter',
    generation: 0,
    input: { placement: 'active-hotstandby', version: '5.0', zone: 'example.net', names: ['counter.example.net'], ttlSeconds: 5, lease: { name: 'counter', port: 80 } },
  });
  const several = controller(80).replace('gateway: { address: 192.0.2.2', 'addresses: [198.51.100.2, 198.51.100.3]\n      gateway: { address: 192.0.2.2');
  t.match(parseNames(several, '5.0'), { ok: true, input: { regions: [{ region: 'r1', addresses: ['192.0.2.1'] }, { region: 'r2', addresses: ['198.51.100.2', '198.51.100.3'] }] } });
  const named = (dns: string) => parseNames(controller(80).replace('name: counter.example.net', dns), '5.0');
  const names = ['*.example.net', 'example.net', 'a.b.example.net'];
  t.match(named(`zone: example.net\n    names: ${JSON.stringify(names)}`), { ok: true, input: { zone: 'example.net', names } }, 'the zone’s own name, a deep one and a wildcard');
  t.match(named('name: a.b.example.net\n    zone: example.net'), { ok: true, input: { zone: 'example.net', names: ['a.b.example.net'] } }, 'one name deep in its zone');
  t.match(named('name: example.net\n    zone: example.net'), { ok: true, input: { zone: 'example.net', names: ['example.net'] } }, 'the zone’s own name alone');
  t.match(problems(controller(81)), [{ path: 'spec.regions[1].gateway.port', value: '81', fix: /same port/, line: 13 }]);
});
