// The limit on answers: per network, refilled by time.

import { test } from 'tap';
import { createRateLimiter } from './rate-limit.ts';

test('a network has its burst, then its rate', async (t) => {
  const admit = createRateLimiter({ perSecond: 10, burst: 2 });
  t.same([1, 2, 3, 4, 5].map(() => admit('192.0.2.7', 0)), [true, true, false, false, false]);
  t.equal(admit('192.0.2.200', 0), false, 'the same /24');
  t.equal(admit('192.0.3.7', 0), true, 'another network');
  t.equal(admit('192.0.2.7', 100), true, 'refilled');
  t.equal(admit('192.0.2.7', 100), false);
});

test('an IPv6 network is a /56, however its address is written', async (t) => {
  const admit = createRateLimiter({ perSecond: 1, burst: 1 });
  t.equal(admit('2001:db8:1:200::1', 0), true);
  t.equal(admit('2001:0db8:0001:02ff:1:2:3:4', 0), false, 'the same /56');
  t.equal(admit('2001:db8:1:300::1', 0), true, 'the next one');
  t.equal(admit('::1', 0), true);
  t.equal(admit('::2', 0), false);
  t.equal(admit('::ffff:192.0.2.1', 0), true);
  t.equal(admit('192.0.2.9', 0), false, 'a mapped address is its IPv4 network');
});

test('forged networks without end need no memory without end', async (t) => {
  const admit = createRateLimiter({ perSecond: 1, burst: 1 });
  for (let count = 0; count < 100_000; count++) admit(`${count >> 16}.${(count >> 8) & 255}.${count & 255}.1`, 0);
  t.equal(admit('1.134.159.1', 0), false, 'the last one is known');
  t.equal(admit('0.0.0.1', 0), true, 'the first one is forgotten');
});
