// Where an answer of a resolver leads to: what says after a takeover that the name follows.

import { test } from 'tap';
import type { ResolverAnswer } from '@continuum/ports';
import { familyOf, leadsTo } from './dns-answers.ts';

const GATEWAYS = { r1: '192.0.2.1', r2: '192.0.2.2' };

function answered(...addresses: string[]): ResolverAnswer {
  return { resolver: '8.8.8.8', status: 'answered', addresses, ttlSeconds: 5 };
}

test('a name leads to a region when its gateway is answered and no other region\'s', async (t) => {
  t.ok(leadsTo('r1', answered('192.0.2.1'), GATEWAYS));
  t.ok(leadsTo('r1', answered('192.0.2.9', '192.0.2.1'), GATEWAYS), 'a further address that is published for it');
  t.notOk(leadsTo('r1', answered('192.0.2.2'), GATEWAYS));
  t.notOk(leadsTo('r1', answered('192.0.2.1', '192.0.2.2'), GATEWAYS), 'both: a client may go to either');
  t.notOk(leadsTo('r1', answered('192.0.2.9'), GATEWAYS), 'an address of nobody');
  t.notOk(leadsTo('r1', { resolver: '8.8.8.8', status: 'abstained', reason: 'SERVFAIL' }, GATEWAYS));
});

test('an IPv6 address is the same in whatever way it is written', async (t) => {
  const gateways = { r1: '2001:DB8:0:0::1', r2: '2001:db8::2' };
  t.ok(leadsTo('r1', answered('2001:db8::1'), gateways));
  t.notOk(leadsTo('r2', answered('2001:db8::1'), gateways));
  t.same([familyOf(gateways.r1), familyOf('192.0.2.1')], [6, 4]);
});
