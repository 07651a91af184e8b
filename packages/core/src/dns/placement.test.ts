// Golden text for each placement and version of the server, written anew with CONTINUUM_REWRITE_GOLDEN=1; and that nothing a
// user writes can become code, whatever the placement.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { test } from 'tap';
import type { PlacementInput } from './placement.ts';
import { renderPlacement, renderText } from './placement.ts';
import { PDNS_VERSIONS, pdnsVersion } from './version-gate.ts';

const FOLDER = new URL('./golden/', import.meta.url);
const r1 = { region: 'r1', addresses: ['192.0.2.1', '2001:db8:1::1'], weight: 3 };
const r2 = { region: 'r2', addresses: ['198.51.100.1', '2001:db8:2::1'], weight: 1 };
const base = { zone: 'app.example', names: ['app.example', 'counter.app.example', '*.counter.app.example'], ttlSeconds: 5 };
const probe = { port: 443, path: '/healthz', intervalSeconds: 2, failures: 3 };

const CASES: Readonly<Record<string, Omit<PlacementInput, 'version'>>> = {
  'single-region': { ...base, placement: 'single-region', regions: [r1] },
  'active-active-nearest': { ...base, placement: 'active-active', select: 'nearest', regions: [r1, r2], probe },
  'active-active-weighted': { ...base, placement: 'active-active', select: 'weighted', regions: [r1, r2], probe },
  'active-active-weighted-unprobed': { ...base, placement: 'active-active', select: 'weighted', regions: [r1, r2], probe: null },
  'active-active-nearest-unprobed': { ...base, placement: 'active-active', select: 'nearest', regions: [r1, r2] },
  'active-hotstandby': { ...base, placement: 'active-hotstandby', regions: [r1, r2], lease: { name: 'counter', port: 443, probe: { intervalSeconds: 1 } } },
};

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
    t.match(render(lease({ failUntilProbed: true }), version), { ok: false, problems: [{ field: 'probe.failUntilProbed', fix: /5.0 or newer.*would ignore/ }] });
    t.match(render(lease({ httpCode: 204 }), version), { ok: false, problems: [{ field: 'probe.httpCode' }] });
    const lowered = render(lease({ failures: 3 }), version);
    t.match(lowered, { ok: true, value: { notes: [{ kind: 'lowered', what: 'probe.failures 3', reason: /first failed probe/ }] } });
    t.notMatch(JSON.stringify(lowered), /minimumFailures/);
  }
  t.match(JSON.stringify(render(lease({ failures: 3, httpCode: 204, failUntilProbed: true }), '5.0')), /minimumFailures='3'.*failOnIncompleteCheck='true'.*httpcode='204'/);
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
  t.match(render({ names: ['app.example', 'APP.example.'] }), { ok: false, problems: [{ field: 'names', fix: /once/ }] });
});

test('every problem at once', async (t) => {
  const made = renderPlacement({ placement: 'active-active', version: '4.7', zone: 'a b', names: ['*'], regions: [{ region: 'r1', addresses: ['x'], weight: 0 }], ttlSeconds: -1, select: 'weighted', probe: { port: 0, path: 'x', timeoutSeconds: 99, match: '200' } });
  t.notOk(made.ok);
  const fields = made.ok ? [] : made.problems.map(({ field }) => field);
  for (const field of ['zone', 'names[0]', 'ttlSeconds', 'regions', 'regions[0].weight', 'probe.port', 'probe.timeoutSeconds', 'probe.match']) t.ok(fields.includes(field), field);
  const share = { ...CASES['active-active-weighted'], version: '4.7' as const, regions: [{ ...r1, weight: 99 }, { ...r2, weight: 100 }] } as PlacementInput;
  t.match(renderPlacement(share), { ok: false, problems: [{ field: 'regions', fix: /3:1/ }] });
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
