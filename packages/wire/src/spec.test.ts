// A specification: what is right is understood, and everything that is wrong is said at once.

import t from 'tap';
import { parse, stringify } from 'yaml';
import { addressesOf, formatProblems, parseConfig } from './spec.ts';
import type { ConfigProblem } from './spec.ts';

const GOOD = `apiVersion: continuum.dev/v1alpha1
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
      gateway: { address: 192.0.2.2, port: 80 }
      database: { host: db.r2.example.net, port: 5432 }
  database: { kind: postgres }
  gateway: { kind: envoy }
  dns:
    name: counter.example.net
    resolvers:
      - { name: one, address: 192.0.2.8 }
      - { name: two, address: 192.0.2.9 }
      - { name: three, address: 192.0.2.10, port: 5353 }
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
    logFile: /var/log/postgresql.log
    passFile: /etc/continuum/pgpass
`;

type Tree = { [key: string]: Tree };

function problemsOf(text: string): readonly ConfigProblem[] {
  const parsed = parseConfig(text);
  return parsed.ok ? [] : parsed.problems;
}

/** The problems after `change` was made to what is right. */
function after(change: (tree: Tree) => void): readonly ConfigProblem[] {
  const tree = parse(GOOD) as Tree;
  change(tree);
  return problemsOf(stringify(tree));
}

const set = (path: string, value: unknown) => (tree: Tree): void => {
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const at = keys.reduce<Tree>((node, key) => node[key] as Tree, tree);
  if (value === undefined) delete at[last];
  else at[last] = value as Tree;
};

t.test('a right file gives the policy and the timings that follow from its objective', async (t) => {
  const parsed = parseConfig(GOOD);
  if (!parsed.ok) throw new Error(formatProblems('good', parsed.problems));
  const { policy, config } = parsed;
  t.match(policy, {
    name: 'counter',
    region: 'r1',
    regions: ['r1', 'r2'],
    databases: { r1: 'db.r1.example.net:5432', r2: 'db.r2.example.net:5432' },
    mode: 'automatic',
    timings: { ttlMs: 15_000, renewMs: 5_000, guardMs: 200, dnsTtlSeconds: 5 },
  });
  t.equal(config.spec.dns.resolvers[0]?.port, 53);
  t.equal(config.local.gateway.appTimeout, 15_000);
});

t.test('both regions have the same hash for the same spec, whatever is local and in whatever order', async (t) => {
  const hash = (text: string): string => {
    const parsed = parseConfig(text);
    if (!parsed.ok) throw new Error(formatProblems('', parsed.problems));
    return parsed.policy.hash;
  };
  const other = parse(GOOD) as { spec: object; local: Tree };
  other.spec = Object.fromEntries(Object.entries(other.spec).reverse());
  set('region', 'r2')(other.local);
  set('witness.keyId', 'r2/1')(other.local);
  t.equal(hash(stringify(other)), hash(GOOD));
  t.not(hash(GOOD.replace('rto: 30s', 'rto: 29s')), hash(GOOD));
});

t.test('a region may be answered with several addresses; each leads to one region and is named once', async (t) => {
  const answeredBy = (...addresses: unknown[]) => after(set('spec.regions.1.addresses', addresses));
  t.same(answeredBy('192.0.2.2', '192.0.2.3'), []);
  t.match(answeredBy('192.0.2.2', '2001:db8::2'), [{ path: 'spec.regions[1].addresses', value: 'IPv4 and IPv6', fix: /same kinds.*has IPv4\)/, line: /./ }]);
  t.match(after(set('spec.regions.1.gateway.address', '2001:db8::2')), [{ path: 'spec.regions[1].gateway.address', value: 'IPv6' }]);
  t.same(answeredBy('198.51.100.2'), [], 'a balancer before the gateway');
  t.match(answeredBy('192.0.2.2', '192.0.2.1'), [{ path: 'spec.regions[1].addresses[1]', value: '192.0.2.1', fix: /other region/, line: /./ }]);
  t.match(answeredBy('2001:db8::2', '2001:DB8:0::2'), [{ path: 'spec.regions[1].addresses' }, { path: 'spec.regions[1].addresses[1]', value: '2001:DB8:0::2', fix: /there already/ }]);
  t.match(answeredBy(), [{ path: 'spec.regions[1].addresses', fix: /leave it out/ }]);
  t.match(answeredBy('gateway.r2.example'), [{ path: 'spec.regions[1].addresses[0]', value: '"gateway.r2.example"', fix: /IPv4 or IPv6/ }]);
  t.match(answeredBy('0.0.0.0'), [{ path: 'spec.regions[1].addresses[0]', fix: /at which it is reached/ }]);
  const read = parseConfig(GOOD.replace('gateway: { address: 192.0.2.1', 'addresses: ["2001:db8::1", 192.0.2.1]\n      gateway: { address: 192.0.2.1').replace('gateway: { address: 192.0.2.2', 'addresses: ["2001:db8::2", 192.0.2.3]\n      gateway: { address: 192.0.2.2'));
  if (!read.ok) throw new Error(formatProblems('several', read.problems));
  t.same(read.config.spec.regions.map(addressesOf), [['2001:db8::1', '192.0.2.1'], ['2001:db8::2', '192.0.2.3']]);
});

t.test('every problem of a file is in one report, with path, value, fix and line, in the order of the file', async (t) => {
  const bad = GOOD.replace('kind: Continuum', 'kind: Kontinuum')
    .replace('mode: automatic', 'mode: sometimes')
    .replace('rto: 30s', 'rto: half a minute')
    .replace('192.0.2.2, port: 80', '192.0.2.2, port: 80800')
    .replace('      - { name: three, address: 192.0.2.10, port: 5353 }\n', '')
    .replace('  region: r1', '  region: r3')
    .replace('  stateDir: /var/lib/continuum\n', '  statedir: /var/lib/continuum\n');
  t.same(problemsOf(bad), [
    { path: 'kind', value: '"Kontinuum"', fix: 'use Continuum', line: 2 },
    { path: 'spec.mode', value: '"sometimes"', fix: 'use automatic, semi-automatic or manual', line: 6 },
    { path: 'spec.objective.rto', value: '"half a minute"', fix: 'use a duration such as 500ms, 10s or 1m', line: 7 },
    { path: 'spec.regions[1].gateway.port', value: '80800', fix: 'use 1 to 65535', line: 13 },
    { path: 'spec.dns.resolvers', value: '(a list)', fix: 'name three resolvers: two of three decide', line: 20 },
    { path: 'local.region', value: 'r3', fix: 'use one of r1, r2', line: 27 },
    { path: 'local.statedir', value: '"/var/lib/continuum"', fix: 'unknown key: remove it, or correct its name', line: 28 },
    { path: 'local.witness.keyId', value: '(not shown)', fix: 'use a key of region r3: r3/<label>', line: 30 },
    { path: 'local.stateDir', value: '(nothing)', fix: 'write the absolute path of the folder for what the controller keeps', line: null },
  ]);
  const text = formatProblems('continuum.yaml', problemsOf(bad));
  t.match(text, /^9 problems in continuum\.yaml\n {2}continuum\.yaml:2 {2}kind = "Kontinuum"\n {6}use Continuum\n/);
  t.match(text, /\n {2}continuum\.yaml {2}local\.stateDir = \(nothing\)\n {6}write the absolute path of the folder for what the controller keeps$/);
});

t.test('the lag prober has a socket of its own, if there is one', async (t) => {
  t.same(after(set('local.lag', { socket: '/run/continuum/lag.sock' })), []);
  t.match(after((tree) => set('local.lag', { socket: String(((tree['local'] as Tree)['gate'] as Tree)['socket']) })(tree)), [
    { path: 'local.lag.socket', fix: 'use another path than local.gate.socket' },
  ]);
});

t.test('a key that nobody knows is a problem at every level', async (t) => {
  const places = ['', 'metadata', 'spec', 'spec.objective', 'spec.regions.0', 'spec.regions.1.gateway', 'spec.dns', 'spec.dns.resolvers.2'];
  places.push('spec.witness', 'local', 'local.api', 'local.witness', 'local.gate', 'local.gateway.admin', 'local.database');
  for (const place of places) {
    const path = place === '' ? 'colour' : `${place}.colour`;
    const shown = path.replace(/\.(\d)/g, '[$1]');
    t.match(after(set(path, 'red')), [{ path: shown, value: '"red"', fix: /^unknown key/ }], shown);
  }
});

t.test('a spec whose worst case exceeds its own objective is refused with the sum shown', async (t) => {
  const [problem, ...rest] = after(set('spec.timings', { ttl: '25s', promoteBudget: '9s' }));
  t.same(rest, []);
  t.match(problem, { path: 'spec.objective.rto', value: '30000 ms', line: 9 });
  t.equal(
    problem?.fix,
    'the worst case is lease ttl 25000 ms + clock drift over the ttl 250 ms + promotion budget 9000 ms + DNS TTL 5000 ms = 39250 ms, above the objective of 30000 ms',
  );
  t.same(after(set('spec.timings', { ttl: '15s', promoteBudget: '9s' })), [], 'at 29,150 ms it fits');
});

t.test('the sum is shown together with what else is wrong', async (t) => {
  const problems = after((tree) => {
    set('spec.timings', { ttl: '28s' })(tree);
    set('spec.mode', 'sometimes')(tree);
    set('local.colour', 'red')(tree);
  });
  t.same(problems.map((one) => one.path).sort(), ['local.colour', 'spec.mode', 'spec.objective.rto']);
});

t.test('timings set by hand must fit together', async (t) => {
  const cases: [object, string, RegExp][] = [
    [{ ttl: '200ms' }, 'spec.timings.ttl', /at least 300 ms/],
    [{ guard: '10ms' }, 'spec.timings.guard', /ttl x drift \+ time to fence = 200 ms/],
    [{ renew: '8s' }, 'spec.timings.renew', /two renewals must fit into the validity of 14800 ms/],
    [{ command: '6s' }, 'spec.timings.command', /renewal interval of 5000 ms/],
    [{ dnsTtlSeconds: 1.5 }, 'spec.timings.dnsTtlSeconds', /a whole number/],
    [{ holdMax: '0s' }, 'spec.timings.holdMax', /more than nothing/],
    [{ promoteBudget: '0ms' }, 'spec.timings.promoteBudget', /more than nothing/],
    [{ standbyLoss: '3000m' }, 'spec.timings.standbyLoss', /at most 1440m/],
    [{ holdDown: '-1s' }, 'spec.timings.holdDown', /use a duration/],
  ];
  for (const [given, path, fix] of cases) {
    t.match(after(set('spec.timings', given)).find((one) => one.path === path)?.fix, fix, JSON.stringify(given));
  }
});

t.test('regions that are one and the same are refused', async (t) => {
  t.match(after(set('spec.regions.1.name', 'r1')), [{ path: 'spec.regions', fix: /a region|its own name/ }]);
  t.match(after(set('spec.regions.1.database.host', 'db.r1.example.net')), [{ path: 'spec.regions[1].database', fix: /of its own/ }]);
  t.match(after(set('spec.regions.1.gateway.address', '192.0.2.1')), [{ path: 'spec.regions[1].gateway', fix: /of its own/ }]);
  t.match(after(set('spec.witness.publicKeys', {})), [{ path: 'spec.witness.publicKeys', fix: /at least one/ }]);
});

t.test('nothing that may be a secret is quoted', async (t) => {
  const changes: ((tree: Tree) => void)[] = [
    set('local.api.token', 'hunter2'),
    set('local.database.password', 'hunter2'),
    set('local.database.credentials', { user: 'x', plain: 'hunter2' }),
    set('local.colour', { plain: 'hunter2' }),
    set('local.colours', ['hunter2']),
    set('local.witness', 'hunter2'),
    set('local.api', ['hunter2']),
    set('local.witness.keyId', 'hunter2'),
    set('spec.witness.publicKeys', 'hunter2'),
    set('spec.witness.url', 'https://user:hunter2@witness.example.net'),
    set('spec.database.kind', 'postgres://user:hunter2@db.example.net'),
    set('local.colour', '-----BEGIN PRIVATE KEY-----\nhunter2'),
  ];
  for (const change of changes) {
    const problems = after(change);
    t.not(problems.length, 0);
    t.notMatch(formatProblems('continuum.yaml', problems), /hunter2/);
  }
});

t.test('what is not YAML, or not plain YAML, is said by line and never quoted', async (t) => {
  t.match(problemsOf(''), [{ path: '(file)', value: 'nothing', fix: /^the file is empty/ }]);
  t.match(problemsOf('[]'), [{ path: '(file)', fix: 'give a map here' }]);
  const cases: [string, number][] = [
    ['metadata: { name: counter', 1],
    ['metadata:\n  name: "hunter2', 2],
    ['a: 1\na: 2', 2],
    ['a: 1\n---\nb: 2', 2],
    ['a: |x hunter2\n b', 1],
    ['- hunter2\nhunter2: hunter2', 2],
    ['a: &hunter2 1\nb: *hunter2', 2],
    ['b: *hunter2', 1],
  ];
  for (const [text, line] of cases) {
    const problems = problemsOf(text);
    t.ok(problems.some((one) => one.path === '(file)' && one.line === line), `${text} -> ${JSON.stringify(problems)}`);
    t.notMatch(formatProblems('f.yaml', problems), /hunter2/);
  }
});

t.test('the register is one of two, with its own sections and without those of the other', async (t) => {
  const dns = (tree: Tree): void => {
    const { spec, local } = tree as Record<string, Record<string, unknown>>;
    if (spec === undefined || local === undefined) throw new Error('no tree');
    spec['register'] = 'dns';
    spec['dnsRegister'] = { address: '192.0.2.53', zone: 'register.example.net', lease: 'counter' };
    local['dnsRegister'] = { keyName: 'r1-lease', keyFile: '/etc/continuum/tsig' };
  };
  t.match(after(dns), [
    { path: 'spec.witness', fix: /remove it: spec.register is dns/ },
    { path: 'local.witness', fix: /remove it/ },
  ]);
  const alone = (tree: Tree): void => {
    dns(tree);
    delete tree['spec']?.['witness'];
    delete tree['local']?.['witness'];
  };
  t.same(after(alone), []);
  t.match(after((tree) => void delete tree['spec']?.['witness']), [{ path: 'spec.witness', value: '(nothing)', fix: /give it: spec.register is witness/ }]);
  t.match(after((tree) => (alone(tree), delete tree['local']?.['dnsRegister'])), [{ path: 'local.dnsRegister', fix: /give it/ }]);
  const word = (tree: Tree): void => {
    alone(tree);
    (tree as Record<string, Record<string, unknown>>)['spec']!['register'] = 'both';
  };
  t.match(after(word), [{ path: 'spec.register', fix: 'use witness or dns' }]);
});

t.test('without a list of resolvers three well-known ones of three vendors are asked; they are enough for an attestation', async (t) => {
  const without = (text: string): string => {
    const tree = parse(text) as Tree;
    delete tree['spec']?.['dns']?.['resolvers'];
    return stringify(tree);
  };
  const parsed = parseConfig(without(GOOD));
  t.same(parsed.ok ? parsed.config.spec.dns.resolvers : parsed.problems, [
    { name: '8.8.8.8', address: '8.8.8.8', port: 53, vendor: 'google', https: 'https://8.8.8.8/dns-query' },
    { name: '1.1.1.1', address: '1.1.1.1', port: 53, vendor: 'cloudflare', https: 'https://1.1.1.1/dns-query' },
    { name: '9.9.9.9', address: '9.9.9.9', port: 53, vendor: 'quad9', https: 'https://9.9.9.9/dns-query' },
  ]);
  const attesting = parseConfig(without(attestingSpec()));
  t.match(attesting.ok ? attesting.policy.fallback?.voters : attesting.problems, [
    { name: '8.8.8.8', vendor: 'google' },
    { name: '1.1.1.1', vendor: 'cloudflare' },
    { name: '9.9.9.9', vendor: 'quad9' },
  ]);
  const keyless = attestingSpec((tree) => delete tree['spec']?.['dns']?.['attestation']?.['publicKeys']?.['r2/1']);
  t.match(problemsOf(without(keyless)), [{ path: 'spec.dns.attestation.publicKeys', fix: /region r2/ }], 'what depends on the list is still checked');
});

t.test('attestation: off without its part, derived with it', async (t) => {
  const parsed = parseConfig(GOOD);
  t.ok(parsed.ok && parsed.policy.fallback === undefined);
  const attesting = parseConfig(attestingSpec());
  t.same(attesting.ok ? attesting.policy.fallback : attesting.problems, {
    holdMs: 5_000,
    roundMs: 833,
    voters: [
      { name: 'one', vendor: 'google' },
      { name: 'two', vendor: 'cloudflare' },
      { name: 'three', vendor: 'own' },
    ],
  });
});

t.test('attestation: vendors, keys and timings are checked against the rest', async (t) => {
  const paths = (change: (tree: Tree) => void): string[] => problemsOf(attestingSpec(change)).map(({ path }) => path);
  const resolver = (tree: Tree, index: number): Record<string, unknown> => tree['spec']?.['dns']?.['resolvers']?.[String(index)] as Record<string, unknown>;
  t.same(paths((tree) => delete resolver(tree, 2)['vendor']), ['spec.dns.resolvers[2].vendor']);
  t.same(paths((tree) => (resolver(tree, 2)['vendor'] = 'google')), ['spec.dns.resolvers'], 'one vendor besides the witness’s own');
  t.same(paths((tree) => delete tree['spec']?.['dns']?.['attestation']?.['publicKeys']?.['r2/1']), ['spec.dns.attestation.publicKeys']);
  t.same(paths((tree) => Object.assign(tree['spec'] as Tree, { timings: { hold: '6s' } })), ['spec.timings.hold']);
  t.same(paths((tree) => Object.assign(tree['spec'] as Tree, { objective: { rto: '3s' } })), ['spec.timings.hold'], 'no time for a round');
  t.same(paths((tree) => Object.assign(tree['spec']?.['dns']?.['attestation'] as Tree, { zone: 'Not A Zone' })), ['spec.dns.attestation.zone']);
});

t.test('attestation: the vendor that must not be needed is the witness’s, or the one that is named', async (t) => {
  const paths = (vendor: string | null, overDns: boolean): string[] =>
    problemsOf(
      attestingSpec((tree) => {
        const [spec, local] = [tree['spec'] as Tree, tree['local'] as Tree];
        Object.assign(spec['dns']?.['resolvers']?.['2'] as unknown as object, { vendor: 'google' });
        if (vendor !== null) Object.assign(spec['dns']?.['attestation'] as Tree, { witnessVendor: vendor });
        if (!overDns) return;
        delete spec['witness'];
        delete local['witness'];
        Object.assign(spec, { register: 'dns', dnsRegister: { address: '192.0.2.53', zone: 'register.example.net', lease: 'counter' } });
        Object.assign(local, { dnsRegister: { keyName: 'r1-lease', keyFile: '/etc/continuum/tsig' } });
      }),
    ).map(({ path }) => path);
  t.same(paths(null, false), ['spec.dns.resolvers'], 'google, cloudflare, google without cloudflare');
  t.same(paths(null, true), [], 'a register in DNS is run by neither');
  t.same(paths('google', true), ['spec.dns.resolvers'], 'unless it is said');
  t.same(paths('own', false), [], 'a witness of one’s own');
});

/** What is right, with regions that attest. */
function attestingSpec(change: (tree: Tree) => void = () => undefined): string {
  const tree = parse(GOOD) as Tree;
  const resolvers = [{ name: 'one', address: '8.8.8.8' }, { name: 'two', address: '1.1.1.1', https: 'https://1.1.1.1/dns-query' }, { name: 'three', address: '192.0.2.10', vendor: 'own' }];
  const attestation = { zone: 'attest.example.net', publicKeys: { 'r1/1': 'A'.repeat(43), 'r2/1': `B${'A'.repeat(42)}` } };
  Object.assign(tree['spec']?.['dns'] as Tree, { resolvers, attestation });
  change(tree);
  return stringify(tree);
}
