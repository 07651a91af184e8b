// What the publisher makes of a specification: each region's own addresses.

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

test('a region may be called as a property that every object has', (t) => {
  const read = readSpec(specOf('constructor', 'r2'), () => undefined);
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  t.same(read.spec.ofRegion('constructor'), ['127.49.1.1']);
  t.end();
});
