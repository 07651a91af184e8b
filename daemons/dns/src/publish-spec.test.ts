// What the publisher makes of a specification: which lease shows in DNS, and where.

import { test } from 'tap';
import { readSpec } from './publish-spec.ts';

const namesOf = (spec: object): string => JSON.stringify({ apiVersion: 'continuum.dev/v1alpha1', kind: 'ContinuumNames', metadata: { name: 'shop' }, spec });
const specOf = (...regions: readonly string[]): string =>
  namesOf({
    placement: 'active-hotstandby',
    zone: 'app.test',
    names: ['*.app.test', 'shop.app.test'],
    ttlSeconds: 5,
    regions: regions.map((name, index) => ({ name, addresses: [`127.49.${index + 1}.1`] })),
    lease: { name: 'shop', port: 8_080 },
  });
const flipTo = (text: string, lease: string, region: string) => {
  const read = readSpec(text, () => undefined);
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  return read.spec.flipTo(lease, region);
};

test('a region may be called as a property that every object has', (t) => {
  t.same(flipTo(specOf('constructor', 'r2'), 'shop', 'constructor'), { name: 'shop.app.test', addresses: ['127.49.1.1'] });
  t.end();
});

test('no flip is expected of a lease that no name follows, to a region that is not named, or of names that follow none', (t) => {
  const text = specOf('r1', 'r2');
  t.same(flipTo(text, 'shop', 'r2'), { name: 'shop.app.test', addresses: ['127.49.2.1'] });
  t.equal(flipTo(text, 'counter', 'r1'), null);
  t.equal(flipTo(text, 'shop', 'r3'), null);
  const { lease: _, ...plain } = { ...(JSON.parse(text) as { spec: { lease: object } }).spec, placement: 'active-active' };
  for (const spec of [plain, { ...plain, lease: { name: 'shop', port: 8_080 } }]) t.equal(flipTo(namesOf(spec), 'shop', 'r1'), null);
  t.end();
});
