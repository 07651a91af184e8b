// What the publisher makes of a specification: each region's own addresses, and others where the configuration gives them.

import { test } from 'tap';
import { readSpec } from './publish-spec.ts';

const specOf = (...regions: readonly string[]): string =>
  JSON.stringify({
    apiVersion: 'continuum.dev/v1alpha1',
    kind: 'ContinuumNames',
    metadata: { name: 'shop' },
    spec: {
      placement: 'active-hotstandby',
      zone: 'app.test',
      names: ['shop.app.test'],
      ttlSeconds: 5,
      regions: regions.map((name, index) => ({ name, addresses: [`127.49.${index + 1}.1`] })),
      lease: { name: 'shop', port: 8_080 },
    },
  });

test('a region has the addresses of the specification, or those that the configuration gives it', (t) => {
  const read = readSpec(specOf('r1', 'r2'), { r2: ['127.49.9.1', '127.49.9.2'] }, () => undefined);
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  t.same(read.spec.ofRegion('r1'), ['127.49.1.1']);
  t.same(read.spec.ofRegion('r2'), ['127.49.9.1', '127.49.9.2']);
  t.end();
});

test('a region may be called as a property that every object has', (t) => {
  const read = readSpec(specOf('constructor', 'r2'), {}, () => undefined);
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  t.same(read.spec.ofRegion('constructor'), ['127.49.1.1']);
  t.end();
});

test('addresses for a region that the specification does not have are named, with the regions that it has', (t) => {
  const read = readSpec(specOf('r1', 'r2'), { r3: ['127.49.9.1'] }, () => undefined);
  t.same(read, { ok: false, problems: [{ path: 'publish.regionAddresses.r3', value: 'r3', fix: 'use a region of the specification: r1, r2' }] });
  t.end();
});
