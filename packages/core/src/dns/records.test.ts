// Whoever can add a token to a Lua record runs code on the name server, so that is tried here in many ways.

import fc from 'fast-check';
import { test } from 'tap';
import { renderPlacement } from './placement.ts';
import type { Rrset, Synthesis } from './records.ts';
import { canonicalName, zoneRrsets } from './records.ts';
import { luaRecordContent, SEGMENT_BYTES_MAX } from './lua.ts';

type HotStandby = { name: string; lease: string; path?: string; regions: readonly { region: string; addresses: readonly string[] }[]; port: number; ttlSeconds: number };
const counter: HotStandby = {
  name: 'counter.app.test',
  lease: 'counter',
  regions: [
    { region: 'r1', addresses: ['127.1.0.1'] },
    { region: 'r2', addresses: ['127.2.0.1'] },
  ],
  port: 8443,
  ttlSeconds: 1,
};

/** The one LUA record set of an application in hot standby. */
function standby({ name, lease, path, regions, port, ttlSeconds }: HotStandby): Synthesis<Rrset> {
  const at = { name: lease, port, ...(path === undefined ? {} : { path }) };
  const made = renderPlacement({ placement: 'active-hotstandby', version: '4.7', zone: 'test', names: [name], regions, ttlSeconds, lease: at });
  return made.ok ? { ok: true, value: made.value.lua[0] as Rrset } : made;
}

/** Segments joined as PowerDNS does: with a space up to 5.0, without later. */
function luaSource(content: string, glue: ' ' | ''): string {
  const match = /^(?:A|AAAA)((?: "[^"]*")+)$/.exec(content);
  if (match === null) throw new Error(`not a LUA record: ${content}`);
  return [...(match[1] as string).matchAll(/"([^"]*)"/g)].map((segment) => segment[1]).join(glue);
}

/** A small Lua tokenizer: names, strings, punctuation; anything else (numbers, comments, operators, escapes) is an error. */
function luaTokens(source: string): string[] {
  const token = /\s*(?:([A-Za-z_]\w*)|('[^'\\\n]*')|([(){},=]))/y;
  const found: string[] = [];
  while (token.lastIndex < source.trimEnd().length) {
    const match = token.exec(source);
    if (match === null) throw new Error(`not a token of ours in ${source}`);
    found.push(match[1] ?? match[2] ?? (match[3] as string));
  }
  return found;
}

const shape = (tokens: readonly string[]): string => tokens.map((token) => (token.startsWith("'") ? "''" : token)).join('');

test('an application in hot standby gets one LUA record that names whoever answers the probe', async (t) => {
  const made = standby(counter);
  t.same(made, {
    ok: true,
    value: {
      name: 'counter.app.test.',
      type: 'LUA',
      ttlSeconds: 1,
      records: [
        `A "ifurlup('http://counter.app.test:8443/.well-known/continuum/counter?wait=1200',{'127.1.0.1','127.2.0.1'},` +
          `{selector='all',backupSelector='all',timeout='2',useragent='continuum-dns'})"`,
      ],
    },
  });
});

test('IPv6 addresses get a record of their own, and every region must have both families or none', async (t) => {
  const both = (address: string, six: string) => ({ region: address, addresses: [address, six] });
  const made = standby({ ...counter, regions: [both('127.1.0.1', 'fd00::1'), both('127.2.0.1', 'FD00::2')] });
  t.ok(made.ok && made.value.records.length === 2);
  t.match(made.ok && made.value.records[1], /^AAAA "ifurlup.*'fd00:0:0:0:0:0:0:1','fd00:0:0:0:0:0:0:2'/);
  const lame = standby({ ...counter, regions: [both('127.1.0.1', 'fd00::1'), { region: 'r2', addresses: ['127.2.0.1'] }] });
  t.match(lame, { ok: false, problems: [{ field: 'regions[1].addresses', fix: /same families/ }] });
});

test('all problems come in one report, each with field, value and fix', async (t) => {
  const made = standby({
    name: "x') or os.getenv('HOME') --",
    lease: "counter'",
    path: '/a b/',
    port: 0,
    ttlSeconds: 1.5,
    regions: [{ region: 'r1', addresses: ["127.0.0.1'"] }, { region: 'r2', addresses: [] }],
  });
  t.notOk(made.ok);
  const problems = made.ok ? [] : made.problems;
  const fields = problems.map((problem) => problem.field);
  t.same(fields, ['names[0]', 'names', 'ttlSeconds', 'regions[0].addresses', 'regions[1].addresses', 'lease.name', 'lease.port', 'lease.path']);
  t.ok(problems.every((problem) => problem.fix.length > 0 && problem.value.length > 0));
});

test('one region is refused, and so is one address for two regions', async (t) => {
  t.match(standby({ ...counter, regions: counter.regions.slice(0, 1) }), { ok: false, problems: [{ field: 'regions' }] });
  const same = standby({ ...counter, regions: [counter.regions[0]!, { region: 'r2', addresses: ['127.1.0.1'] }] });
  t.match(same, { ok: false, problems: [{ field: 'regions[1].addresses', fix: /once/ }] });
});

test('a URL that does not fit one segment is refused', async (t) => {
  t.match(standby({ ...counter, path: `/${'a'.repeat(220)}/` }), { ok: false, problems: [{ field: 'probe', fix: /characters/ }] });
});

test('a path cannot climb, carry a query or leave its place', async (t) => {
  for (const path of ['', 'x/', '//', '/a', '/a?b/', '/a#b/', '/%2e/', '/a/\n/', "/'/", '/"/', '/\\/', '/]]/', '/é/']) {
    t.match(standby({ ...counter, path }), { ok: false, problems: [{ field: 'lease.path' }] }, JSON.stringify(path));
  }
});

test('no text that comes in can add a token', async (t) => {
  const expected = shape(luaTokens(luaSource((standby(counter) as unknown as { value: { records: string[] } }).value.records[0]!, '')));
  const evil = fc.oneof(
    fc.string({ maxLength: 80 }),
    fc.constantFrom(`')--`, `'..os.execute('id')..'`, `");os.exit()--`, `\\'`, `]]`, `\\039`, 'a\nb', 'counter', '127.1.0.1', `1.1.1.1','2.2.2.2`),
    fc.tuple(fc.domain(), fc.string({ maxLength: 10 })).map((parts) => parts.join('')),
  );
  let accepted = 0;
  fc.assert(
    fc.property(evil, evil, evil, evil, fc.integer({ min: -1, max: 70_000 }), (name, lease, path, address, port) => {
      for (const input of [
        { ...counter, name, port },
        { ...counter, lease },
        { ...counter, path },
        { ...counter, regions: [counter.regions[0]!, { region: lease, addresses: [address] }] },
      ]) {
        const made = standby(input);
        if (!made.ok) continue;
        accepted++;
        for (const content of made.value.records) {
          for (const glue of [' ', ''] as const) if (shape(luaTokens(luaSource(content, glue))) !== expected) return false;
        }
      }
      return true;
    }),
    { numRuns: 3_000 },
  );
  t.ok(accepted > 500, `${accepted} inputs were accepted, all with the same tokens`);
});

test('a long record is cut into segments that read the same with and without white space between them', async (t) => {
  const regions = Array.from({ length: 16 }, (_, region) => ({
    region: `r${region}`,
    addresses: Array.from({ length: 16 }, (_, index) => `127.${region}.100.${index}`),
  }));
  const made = standby({ ...counter, name: `${'a'.repeat(60)}.${'b'.repeat(60)}.test`, regions });
  t.ok(made.ok);
  const content = made.ok ? made.value.records[0]! : '';
  const segments = [...content.matchAll(/"([^"]*)"/g)].map((match) => match[1]!);
  t.ok(segments.length > 10);
  t.ok(segments.every((segment) => Buffer.byteLength(segment) <= SEGMENT_BYTES_MAX));
  t.same(luaTokens(luaSource(content, ' ')), luaTokens(luaSource(content, '')));
});

test('a literal that was not checked before ends the process instead of reaching the name server', async (t) => {
  const unsafe = { kind: 'text', value: "'" } as const;
  t.throws(() => luaRecordContent('A', unsafe), { code: 'CTM_ASSERT_LUA_TEXT_UNSAFE' });
});

test('names become canonical or are refused', async (t) => {
  t.equal(canonicalName('Counter.App.Test'), 'counter.app.test.');
  t.equal(canonicalName('counter.app.test.'), 'counter.app.test.');
  const longest = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
  t.equal(canonicalName(longest), `${longest}.`, '253 characters');
  t.equal(canonicalName(`${longest}d`), null, '254 characters');
  for (const bad of ['', '.', 'a..b', '-a.b', 'a-.b', 'a b', "a'b", `${'a'.repeat(64)}.b`, 'a.'.repeat(130)]) {
    t.equal(canonicalName(bad), null, JSON.stringify(bad));
  }
});

test('a zone gets SOA, NS and the addresses of its name servers', async (t) => {
  const zone = zoneRrsets({
    zone: 'app.test',
    nameServers: [{ name: 'ns-r1.app.test', addresses: ['127.1.0.1'] }, { name: 'ns-r2.app.test', addresses: ['127.2.0.1', 'fd00::2'] }],
    ttlSeconds: 60,
  });
  t.same(zone, {
    ok: true,
    value: [
      { name: 'app.test.', type: 'SOA', ttlSeconds: 60, records: ['ns-r1.app.test. hostmaster.app.test. 1 3600 600 86400 60'] },
      { name: 'app.test.', type: 'NS', ttlSeconds: 60, records: ['ns-r1.app.test.', 'ns-r2.app.test.'] },
      { name: 'ns-r1.app.test.', type: 'A', ttlSeconds: 60, records: ['127.1.0.1'] },
      { name: 'ns-r2.app.test.', type: 'A', ttlSeconds: 60, records: ['127.2.0.1'] },
      { name: 'ns-r2.app.test.', type: 'AAAA', ttlSeconds: 60, records: ['fd00:0:0:0:0:0:0:2'] },
    ],
  });
  const foreign = zoneRrsets({ zone: 'app.test', nameServers: [{ name: 'ns.other.test', addresses: ['x'] }], ttlSeconds: 60 });
  t.match(foreign, { ok: false, problems: [{ field: 'nameServers[0].name' }, { field: 'nameServers[0].addresses' }] });
  t.match(zoneRrsets({ zone: 'app.test', nameServers: [], ttlSeconds: 60 }), { ok: false, problems: [{ field: 'nameServers' }] });
});

const ADDRESS = 'a plain IPv4 or IPv6 address';
const two = counter.regions;

/** One thing wrong, and what is said of it. */
const wrong: readonly [Partial<HotStandby>, string][] = [
  [{ name: 'counter.app.other' }, 'names[0] "counter.app.other": a name in the zone test.'],
  [{ lease: '-x' }, 'lease.name "-x": letters, digits, ".", "_", "~", "-"; at most 63'],
  [{ lease: 'x'.repeat(64) }, `lease.name "${'x'.repeat(64)}": letters, digits, ".", "_", "~", "-"; at most 63`],
  [{ path: 'x' }, 'lease.path "x": segments between slashes, as in "/.well-known/continuum/"'],
  ...[0, 65_536, 1.5].map((port): [Partial<HotStandby>, string] => [{ port }, `lease.port ${port}: a whole number from 1 to 65535`]),
  ...[-1, 3_601, 0.5].map((ttlSeconds): [Partial<HotStandby>, string] => [{ ttlSeconds }, `ttlSeconds ${ttlSeconds}: a whole number of seconds from 0 to 3600`]),
  [{ regions: two.slice(1) }, 'regions 1: from 2 to 16 regions'],
  [{ regions: Array.from({ length: 17 }, (_, index) => ({ region: `r${index}`, addresses: [`127.0.0.${index}`] })) }, 'regions 17: from 2 to 16 regions'],
  [{ regions: [two[0]!, { region: 'r2', addresses: [] }] }, 'regions[1].addresses 0: from 1 to 16 addresses'],
  [{ regions: [two[0]!, { region: 'r2', addresses: Array.from({ length: 17 }, (_, index) => `127.2.0.${index}`) }] }, 'regions[1].addresses 17: from 1 to 16 addresses'],
  [{ regions: [two[0]!, { region: 'r2', addresses: ['x', '127.2.0.1'] }] }, `regions[1].addresses "x": ${ADDRESS}`],
  [{ regions: [two[0]!, { region: 'r2', addresses: ['127.2.0.1', 'fd00::1'] }] }, 'regions[0].addresses "127.1.0.1": addresses of the same families (IPv4, IPv6) in every region'],
  [{ regions: [{ region: 'r1', addresses: ['127.1.0.1', '127.1.0.2'] }, { region: 'r2', addresses: ['127.2.0.1', 'fd00::1'] }] }, 'regions[0].addresses "127.1.0.1 127.1.0.2": addresses of the same families (IPv4, IPv6) in every region'],
  [{ regions: [two[0]!, { region: 'r2', addresses: ['127.2.0.1', '127.2.0.1'] }] }, 'regions[1].addresses "127.2.0.1": each address once: a region is known by its own address'],
];

test('each problem alone, with where, what and what to write instead', async (t) => {
  for (const [change, expected] of wrong) {
    const made = standby({ ...counter, ...change });
    const said = made.ok ? [] : made.problems.map(({ field, value, fix }) => `${field} ${value}: ${fix}`);
    t.same(said, [expected]);
  }
  for (const change of [{ port: 1 }, { port: 65_535 }, { ttlSeconds: 0 }, { ttlSeconds: 3_600 }, { lease: 'x'.repeat(63) }, { path: '/' }]) t.ok(standby({ ...counter, ...change }).ok, JSON.stringify(change));
  const long = standby({ ...counter, path: `/${'a'.repeat(220)}/` });
  const url = `http://counter.app.test:8443/${'a'.repeat(220)}/counter?wait=1200`;
  t.same(long, { ok: false, problems: [{ field: 'probe', value: JSON.stringify(url).slice(0, 100), fix: `a shorter name or path: the probe's URL may have 240 characters, this one has ${url.length}` }] });
});

test('a problem of a zone says which name server', async (t) => {
  const made = (zone: string, nameServers: { name: string; addresses: string[] }[], ttlSeconds = 60): string[] => {
    const zoned = zoneRrsets({ zone, nameServers, ttlSeconds });
    return zoned.ok ? [] : zoned.problems.map(({ field, value, fix }) => `${field} ${value}: ${fix}`);
  };
  const ns = { name: 'ns.app.test', addresses: ['127.1.0.1'] };
  t.same(made('app.test', [ns]), []);
  t.same(made('a b', [ns]), ['zone "a b": a domain name such as "app.example"']);
  t.same(made('app.test', [ns], -1), ['ttlSeconds -1: a whole number of seconds from 0 to 3600']);
  t.same(made('app.test', []), ['nameServers "[]": at least one name server']);
  t.same(made('app.test', [ns, { name: 'a b', addresses: [] }]), ['nameServers[1].name "a b": a host name inside the zone', 'nameServers[1].addresses "[]": at least one address']);
  t.same(made('app.test', [{ name: 'ns.xapp.test', addresses: ['x'] }]), ['nameServers[0].name "ns.xapp.test": a host name inside the zone', `nameServers[0].addresses "x": ${ADDRESS}`]);
  t.same(made('app.test', [{ name: 'a b', addresses: ['127.1.0.1'] }, ns]), ['nameServers[0].name "a b": a host name inside the zone']);
});
