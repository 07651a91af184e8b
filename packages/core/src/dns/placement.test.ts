// Golden text for each placement and version of the server, written anew with CONTINUUM_REWRITE_GOLDEN=1; and that nothing a
// user writes can become code, whatever the placement.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { test } from 'tap';
import { PLACEMENTS as CASES, probe, r1, r2 } from '../../testing/placements.ts';
import type { Locations } from './locations.ts';
import type { PlacementInput } from './placement.ts';
import { renderPlacement, renderText } from './placement.ts';
import { PDNS_VERSIONS, pdnsVersion } from './version-gate.ts';

const FOLDER = new URL('./golden/', import.meta.url);
for (const [name, input] of Object.entries(CASES)) {
  for (const version of PDNS_VERSIONS) {
    test(`${name} for PowerDNS ${version} is what it was`, async (t) => {
      const made = renderPlacement({ ...input, version });
      if (!made.ok) return t.fail(JSON.stringify(made.problems));
      const text = renderText(made.value, { explain: true });
      const file = new URL(`${name}.${version}.txt`, FOLDER);
      if (process.env['CONTINUUM_REWRITE_GOLDEN'] === '1') {
        mkdirSync(FOLDER, { recursive: true });
        writeFileSync(file, text);
      }
      t.equal(text, existsSync(file) ? readFileSync(file, 'utf8') : '(no golden file)');
    });
  }
}

const standby = CASES['active-hotstandby'] as Omit<PlacementInput, 'version'>;
const render = (change: object, version: PlacementInput['version'] = '4.7') => renderPlacement({ ...standby, version, ...change });

test('what a server would ignore and that changes what an answer means is refused; the rest is lowered with a reason', async (t) => {
  const lease = (wish: object) => ({ lease: { name: 'counter', port: 443, probe: wish } });
  for (const version of ['4.7', '4.8', '4.9'] as const) {
    t.match(render(lease({ httpCode: 204 }), version), { ok: false, problems: [{ field: 'probe.httpCode', fix: /5.0 or newer.*would ignore/ }] });
    const lowered = render(lease({ failures: 3 }), version);
    t.match(lowered, { ok: true, value: { notes: [{ kind: 'lowered', what: 'probe.failures 3', reason: /first failed probe/ }] } });
    t.notMatch(JSON.stringify(lowered), /minimumFailures/);
  }
  t.match(JSON.stringify(render(lease({ intervalSeconds: 2, httpCode: 204 }), '5.0')), /interval='2'.*httpcode='204'/);
});

test('a wish that no version keeps is refused on all of them', async (t) => {
  for (const version of PDNS_VERSIONS) {
    const wish = (failUntilProbed: boolean) => render({ lease: { name: 'counter', port: 443, probe: { failUntilProbed } } }, version);
    t.match(wish(true), { ok: false, problems: [{ field: 'probe.failUntilProbed', value: 'true', fix: /^nothing: .* first question alone/ }] }, version);
    t.same(wish(false), render({ lease: { name: 'counter', port: 443 } }, version), version);
  }
});

test('failures in a row are not asked for where names follow a lease: an address that was never up would count as up', async (t) => {
  for (const version of ['5.0', '5.1'] as const) {
    const lowered = render({ lease: { name: 'counter', port: 443, probe: { failures: 3 } } }, version);
    t.match(lowered, { ok: true, value: { notes: [{ kind: 'lowered', what: 'probe.failures 3', reason: /without the lease could be the only answer/ }] } });
    t.notMatch(JSON.stringify(lowered), /minimumFailures/);
    t.match(JSON.stringify(renderPlacement({ ...CASES['active-active-weighted'], version } as PlacementInput)), /minimumFailures='3'/);
  }
});

test('from 5.1 on LUA records are said to be static', async (t) => {
  t.match(render({}, '5.1'), { ok: true, value: { notes: [{}, { kind: 'static', reason: /load-zone/ }] } });
  const before = render({}, '5.0');
  t.ok(before.ok && before.value.notes.every(({ kind }) => kind !== 'static'));
});

test('a version that was not looked at is not guessed', async (t) => {
  t.equal(pdnsVersion('4.7.3'), '4.7');
  t.equal(pdnsVersion('5.1.4-1pdns.bookworm'), '5.1');
  for (const other of ['4.6.2', '5.2.0', '51', '', '5', 'x']) t.equal(pdnsVersion(other), null, other);
});

test('all names follow one probe, whose name is no wildcard and lies in the zone', async (t) => {
  const made = render({});
  const urls = made.ok ? made.value.lua.flatMap(({ records }) => records.map((content) => /'(http[^']*)'/.exec(content)?.[1])) : [];
  t.same([...new Set(urls)], ['http://app.example:443/.well-known/continuum/counter?wait=1200']);
  t.match(render({ names: ['*.app.example'] }), { ok: false, problems: [{ field: 'names', fix: /no wildcard/ }] });
  t.match(render({ names: ['counter.other.example'] }), { ok: false, problems: [{ field: 'names[0]', fix: /in the zone/ }] });
  t.match(render({ names: ['app.example', 'APP.example.'] }), { ok: false, problems: [{ field: 'names[1]', fix: /once/ }] });
});

test('every problem at once', async (t) => {
  const made = renderPlacement({ placement: 'active-active', version: '4.7', zone: 'a b', names: ['*'], regions: [{ region: 'r1', addresses: ['x'], weight: 0 }], ttlSeconds: -1, select: 'weighted', probe: { port: 0, path: 'x', timeoutSeconds: 99, match: '200' } });
  t.notOk(made.ok);
  const fields = made.ok ? [] : made.problems.map(({ field }) => field);
  for (const field of ['zone', 'names[0]', 'ttlSeconds', 'regions', 'regions[0].weight', 'probe.port', 'probe.timeoutSeconds', 'probe.match']) t.ok(fields.includes(field), field);
  const share = { ...CASES['active-active-weighted'], version: '4.7' as const, regions: [{ ...r1, weight: 99 }, { ...r2, weight: 100 }] } as PlacementInput;
  t.match(renderPlacement(share), { ok: false, problems: [{ field: 'regions', fix: /3:1/ }] });
});

const active = { ...CASES['active-active-nearest'], version: '5.0' } as PlacementInput;
const weighted = { ...CASES['active-active-weighted'], version: '5.0' } as PlacementInput;
const single = { ...CASES['single-region'], version: '5.0' } as PlacementInput;
const follows = { ...standby, version: '5.0' } as PlacementInput;
const leased = (change: object): PlacementInput => ({ ...follows, lease: { name: 'counter', port: 443, ...change } });
const probed = (change: object): PlacementInput => ({ ...active, probe: { port: 443, path: '/healthz', ...change } });
/** A name of so many characters. */
const long = (characters: number): string => `${'a'.repeat(characters - 12).replaceAll(/a{64}/g, `${'a'.repeat(63)}.`)}.app.example`;
const many = (count: number): string[] => Array.from({ length: count }, (_, index) => `n${index}.app.example`);

/** So many regions of 16 addresses, each the first choice of a country. */
const located = (count: number): PlacementInput['regions'] =>
  Array.from({ length: count }, (_, index) => ({
    region: `r${index}`,
    addresses: Array.from({ length: 16 }, (__, last) => `192.0.${index}.${last}`),
    locations: { countries: [`A${String.fromCharCode(65 + index)}`] },
  }));

/** One thing wrong, and what is said of it. */
const wrong: readonly [PlacementInput, string][] = [
  [{ ...active, zone: 'a b' }, 'zone "a b": a domain name such as "app.example"'],
  [{ ...active, names: [], probe: null }, 'names 0: from 1 to 64 names'],
  [{ ...active, names: ['app.example', 'x.app.example'], zone: 'a b' }, 'zone "a b": a domain name such as "app.example"'],
  [{ ...active, names: many(65) }, 'names 65: from 1 to 64 names'],
  [{ ...active, names: ['app.example', 'a b'] }, 'names[1] "a b": a host name, perhaps with "*." before it'],
  [{ ...active, names: ['app.example', 'xapp.example'] }, 'names[1] "xapp.example": a name in the zone app.example.'],
  [{ ...active, names: ['app.example', long(243)] }, `names[1] "${'a'.repeat(63)}.${'a'.repeat(35)}: a name of at most 242 characters: one that is longer still stands beside it, and says whose it is`],
  [{ ...active, names: ['app.example', `*.${long(234)}`] }, `names[1] "*.${'a'.repeat(63)}.${'a'.repeat(33)}: a name of at most 235 characters: one that is longer still stands beside it, and says whose it is`],
  [{ ...active, names: ['app.example', 'App.Example.'] }, 'names[1] "App.Example.": each name once: names[0] is the same'],
  [{ ...active, names: ['*.app.example', '*.x.app.example'] }, 'names "*.app.example *.x.app.example": at least one name that is no wildcard: the probes ask for it'],
  [{ ...follows, names: ['*.app.example'] }, 'names "*.app.example": at least one name that is no wildcard: the probes ask for it'],
  [{ ...active, ttlSeconds: -1 }, 'ttlSeconds -1: a whole number of seconds from 0 to 3600'],
  [{ ...single, regions: [r1, r2] }, 'regions 2: one region'],
  [{ ...active, regions: [r1] }, 'regions 1: from 2 to 16 regions'],
  ...[0, 101, 1.5].map((weight): [PlacementInput, string] => [{ ...active, regions: [r1, { ...r2, weight }] }, `regions[1].weight ${weight}: a whole number from 1 to 100`]),
  [{ ...active, regions: [{ ...r1, locations: { continents: ['EU', 'XX'] } }, r2] }, 'regions[0].locations.continents[1] "XX": one of AF, AN, AS, EU, NA, OC, SA'],
  ...['de', 'DEU', ''].map((country): [PlacementInput, string] => [{ ...active, regions: [r1, { ...r2, locations: { countries: [country] } }] }, `regions[1].locations.countries[0] "${country}": a country by its two capital letters (ISO 3166-1), such as "DE"`]),
  [{ ...active, regions: [{ ...r1, locations: { countries: ['DE'] } }, { ...r2, locations: { countries: ['FR', 'DE'] } }] }, 'regions[1].locations.countries[1] "DE": each of them once: it is regions[0].locations.countries[0] already'],
  [{ ...active, regions: [{ ...r1, locations: {} }, r2] }, 'regions[0].locations "": at least one country or continent, or no locations'],
  ...[weighted, follows].map((input): [PlacementInput, string] => [{ ...input, regions: [r1, { ...r2, locations: { continents: ['EU'] } }] }, 'regions[1].locations "EU": no locations: only active-active with the nearest chosen has a use for them']),
  [{ ...active, regions: located(16) }, 'regions 59507: fewer regions with locations, or fewer addresses: the record may have 32000 characters'],
  [{ ...active, placement: 'active-hotstandby', probe: null }, 'lease "nothing": the lease that the names follow'],
  [leased({ name: '-' }), 'lease.name "-": letters, digits, ".", "_", "~", "-"; at most 63'],
  [leased({ port: 0 }), 'lease.port 0: a whole number from 1 to 65535'],
  [leased({ path: 'x' }), 'lease.path "x": segments between slashes, as in "/.well-known/continuum/"'],
  [probed({ port: 0 }), 'probe.port 0: a whole number from 1 to 65535'],
  [probed({ path: 'x' }), 'probe.path "x": segments of letters, digits, ".", "_", "~", "-", as in "/healthz"'],
  [probed({ intervalSeconds: 3_601 }), 'probe.intervalSeconds 3601: a whole number from 1 to 3600'],
  [probed({ timeoutSeconds: 11 }), 'probe.timeoutSeconds 11: a whole number from 1 to 10'],
  [probed({ failures: 0 }), 'probe.failures 0: a whole number from 1 to 100'],
  [leased({ probe: { failures: 101 } }), 'probe.failures 101: a whole number from 1 to 100'],
  ...[99, 600, 200.5].map((httpCode): [PlacementInput, string] => [probed({ httpCode }), `probe.httpCode ${httpCode}: from 100 to 599`]),
  ...[['a b', '"a b"'], ['200', '"200"'], ['', '""'], ['m'.repeat(240), `"${'m'.repeat(99)}`]].map(([match, said]): [PlacementInput, string] => [
    probed({ match }),
    `probe.match ${said}: letters, digits and . _ ~ : / -, not a number alone (5.0 takes that for a weight); at most 239`,
  ]),
  [{ ...weighted, regions: [{ ...r1, addresses: ['192.0.2.1'], weight: 64 }, { ...r2, addresses: ['198.51.100.1'], weight: 1 }] }, 'regions "64:1": weights whose shares make at most 64 in all, such as 3:1'],
  [probed({ path: `/${'a'.repeat(230)}` }), `probe "http://app.example:443/${'a'.repeat(76)}: a shorter name or path: the probe's URL may have 240 characters, this one has 253`],
];

test('each problem alone, with where, what and what to write instead', async (t) => {
  for (const [input, expected] of wrong) {
    const made = renderPlacement(input);
    t.same(made.ok ? ['none'] : made.problems.map(({ field, value, fix }) => `${field} ${value}: ${fix}`), [expected]);
  }
});

test('what is just within each limit is taken', async (t) => {
  const fine: readonly PlacementInput[] = [
    { ...active, names: many(64) },
    { ...active, names: ['app.example', long(242), `*.${long(233)}`] },
    { ...active, regions: located(6) },
    { ...active, regions: [{ ...r1, locations: { countries: ['SA'], continents: ['SA'] } }, { ...r2, locations: { countries: ['NA'], continents: ['NA'] } }] },
    { ...active, regions: [r1, { ...r2, weight: 100 }] },
    { ...active, names: ['*.app.example'], probe: null },
    { ...single, names: ['*.app.example'] },
    leased({ port: 65_535, path: '/' }),
    probed({ port: 1, path: '/' }),
    probed({ path: '/a/b/' }),
    probed({ intervalSeconds: 3_600, timeoutSeconds: 10, failures: 100, httpCode: 599, match: 'ok200' }),
    probed({ match: 'm'.repeat(239) }),
    probed({ intervalSeconds: 1, timeoutSeconds: 1, failures: 1, httpCode: 100, match: '200ok' }),
    { ...weighted, regions: [{ ...r1, addresses: ['192.0.2.1'], weight: 63 }, { ...r2, addresses: ['198.51.100.1'], weight: 1 }] },
    { ...weighted, regions: [{ ...r1, weight: 90 }, { ...r2, weight: 30 }] },
    { ...weighted, probe: null, regions: [{ ...r1, weight: 99 }, { ...r2, weight: 100 }] },
  ];
  for (const input of fine) t.same(renderPlacement(input), { ...renderPlacement(input), ok: true }, JSON.stringify(input));
});

test('a placement that does not probe has no use for a name to ask for, and the endpoint of a probe that nobody makes is not judged', async (t) => {
  const { probe: _, ...unsaid } = active;
  const endpoint = { port: 0, path: 'x' };
  for (const input of [
    { ...unsaid, names: ['*.app.example'] },
    { ...single, names: ['*.app.example'], probe: { port: 443, path: '/healthz' } },
    { ...single, probe: endpoint },
    { ...follows, probe: endpoint },
  ]) {
    const made = renderPlacement(input);
    t.same(made.ok ? [] : made.problems, [], JSON.stringify(input));
  }
});

const contents = (input: PlacementInput): readonly string[] => {
  const made = renderPlacement(input);
  return made.ok ? (made.value.lua[0]?.records ?? []) : made.problems.map(({ fix }) => fix);
};

test('what a probe asks for: the first name that is no wildcard, the time-out given, its answer', async (t) => {
  const v4 = { ...active, regions: [{ region: 'r1', addresses: ['192.0.2.1'] }, { region: 'r2', addresses: ['198.51.100.1'] }] };
  const list = "{'192.0.2.1','198.51.100.1'}";
  const nearest = "selector='pickclosest',backupSelector='pickclosest'";
  t.same(contents({ ...v4, names: ['*.app.example', 'x.app.example'], probe: { port: 80, path: '/p' } }), [
    `A "ifurlup('http://x.app.example:80/p',${list},{${nearest},timeout='1',useragent='continuum-dns'})"`,
  ]);
  t.same(contents({ ...v4, probe: { port: 80, path: '/p', timeoutSeconds: 4, match: 'up' } }), [
    `A "ifurlup('http://app.example:80/p',${list},{${nearest},timeout='4',useragent='continuum-dns',stringmatch='up'})"`,
  ]);
  t.match(contents({ ...v4, placement: 'active-hotstandby', lease: { name: 'shop', port: 80, path: '/at/', probe: { timeoutSeconds: 1 } } })[0], "'http://app.example:80/at/shop?wait=200'");
});

test('a client is answered by the region of its country, then of its continent, then by the nearest; each time the others stand in', async (t) => {
  const regions = [
    { region: 'r1', addresses: ['192.0.2.1', '192.0.2.2'], locations: { continents: ['AF', 'NA'], countries: ['AF'] } },
    { region: 'r2', addresses: ['198.51.100.1'] },
    { region: 'r3', addresses: ['203.0.113.1'], locations: { continents: ['EU'] } },
  ];
  t.same(contents({ ...active, regions, probe: null }), [
    `A "country({'AF'}) and pickclosest({'192.0.2.1','192.0.2.2'}) or continent({'AF','NA'}) and pickclosest({'192.0.2.1','192.0.2.2'}) or continent({'EU'}) and pickclosest({'203.0.113.1'}) or pickclosest({'192.0.2.1','192.0.2.2','198.51.100.1','203.0.113.1'})"`,
  ]);
  const lists = contents({ ...active, regions, probe: { port: 80, path: '/p' } })[0]?.replaceAll('" "', '').match(/80\/p',\{.*?\},\{s/g);
  t.same(lists?.map((one) => one.slice(6, -3)), [
    "{{'192.0.2.1','192.0.2.2'},{'198.51.100.1','203.0.113.1'}}",
    "{{'192.0.2.1','192.0.2.2'},{'198.51.100.1','203.0.113.1'}}",
    "{{'203.0.113.1'},{'192.0.2.1','192.0.2.2','198.51.100.1'}}",
    "{'192.0.2.1','192.0.2.2','198.51.100.1','203.0.113.1'}",
  ]);
});

test('weights are repeated under a probe by their smallest share, and written as numbers without one; no weight is 1', async (t) => {
  const of = (first: number | undefined, second: number | undefined): PlacementInput => ({
    ...weighted,
    regions: [first, second].map((weight, index) => ({ region: `r${index}`, addresses: [`192.0.2.${index}`], ...(weight === undefined ? {} : { weight }) })),
  });
  t.match(contents(of(6, 4))[0], "{'192.0.2.0','192.0.2.0','192.0.2.0','192.0.2.1','192.0.2.1'},{selector='hashed',backupSelector='hashed'");
  t.match(contents(of(undefined, 2))[0], "{'192.0.2.0','192.0.2.1','192.0.2.1'}");
  t.same(contents({ ...of(6, undefined), probe: null }), [`A "pickwhashed({{6,'192.0.2.0'},{1,'192.0.2.1'}})"`]);
});

test('a text without its explanations has the notes and the records', async (t) => {
  const made = renderPlacement(single);
  if (!made.ok) return t.fail('the example is sound');
  t.equal(renderText(made.value, { explain: false }), ['app.example', 'counter.app.example', '*.counter.app.example'].map((name) => `${name}. 5 IN A 192.0.2.1\n${name}. 5 IN AAAA 2001:db8:1:0:0:0:0:1\n`).join(''));
  const noted = renderPlacement(active);
  t.match(noted.ok && renderText(noted.value, { explain: false }), /^; needs: enable-lua-records=yes/);
});

/** Everything between quotes gone: what is left is the code. */
const skeleton = (content: string): string => content.replaceAll('" "', '').replaceAll(/'[^'\\]*'/g, "''");

test('no text that comes in can add a token, whatever the placement', async (t) => {
  const evil = fc.oneof(fc.string({ maxLength: 60 }), fc.constantFrom(`')--`, `'..os.execute('id')..'`, `\\'`, ']]', 'a\nb', 'counter', '/healthz', 'app.example', 'x.app.example'));
  let accepted = 0;
  for (const [, input] of Object.entries(CASES).filter(([name]) => name !== 'single-region')) {
    const plain = renderPlacement({ ...input, names: ['app.example'], version: '5.1' });
    const expected = plain.ok ? plain.value.lua[0]?.records.map(skeleton) : [];
    fc.assert(
      fc.property(evil, evil, (one, two) => {
        for (const change of [{ names: [one] }, { zone: two, names: [one] }, { names: ['app.example'], probe: { ...probe, path: one } }, { names: ['app.example'], lease: { name: one, port: 443, probe: { intervalSeconds: 1 } } }]) {
          const changed = renderPlacement({ ...input, version: '5.1', ...(input.probe === null || input.probe === undefined ? { names: ['app.example'] } : change) });
          if (!changed.ok) continue;
          accepted++;
          if (JSON.stringify(changed.value.lua[0]?.records.map(skeleton)) !== JSON.stringify(expected)) return false;
        }
        return true;
      }),
      { numRuns: 500 },
    );
  }
  t.ok(accepted > 500, `${accepted} inputs were accepted`);
});

test('no text but two capital letters becomes a country, and none but the seven a continent', async (t) => {
  const evil = fc.oneof(fc.string({ maxLength: 4 }), fc.constantFrom("'})", 'D\n', 'DE\n', 'ÄÖ', 'EU', 'DE', 'eu'), fc.stringMatching(/^[A-Z]{2}$/));
  const accepts = (locations: Locations): boolean => renderPlacement({ ...active, regions: [{ ...r1, locations }, r2] }).ok;
  fc.assert(
    fc.property(evil, (code) => accepts({ countries: [code] }) === /^[A-Z]{2}$/.test(code) && accepts({ continents: [code] }) === /^(AF|AN|AS|EU|NA|OC|SA)$/.test(code)),
    { numRuns: 500 },
  );
  t.ok(accepts({ countries: ['DE'], continents: ['EU'] }));
});
