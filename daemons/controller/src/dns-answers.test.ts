// Where an answer of a resolver leads to: what says after a takeover that the name follows.

import { test } from 'tap';
import type { ResolverAnswer } from '@continuum/ports';
import { familiesOf, leadsTo, regionsOf } from './dns-answers.ts';

const ADDRESSES = { r1: ['192.0.2.1', '192.0.2.9'], r2: ['192.0.2.2'] };

function answered(...addresses: string[]): ResolverAnswer {
  return { resolver: '8.8.8.8', status: 'answered', addresses, ttlSeconds: 5 };
}

test('a name leads to a region when addresses of it are answered and no others', async (t) => {
  t.ok(leadsTo('r1', answered('192.0.2.1'), ADDRESSES));
  t.ok(leadsTo('r1', answered('192.0.2.9', '192.0.2.1'), ADDRESSES), 'all of its addresses');
  t.notOk(leadsTo('r1', answered('192.0.2.2'), ADDRESSES));
  t.notOk(leadsTo('r1', answered('192.0.2.1', '192.0.2.2'), ADDRESSES), 'both: a client may go to either');
  t.notOk(leadsTo('r1', answered('192.0.2.1', '203.0.113.9'), ADDRESSES), 'an address of nobody beside its own');
  t.notOk(leadsTo('r1', answered(), ADDRESSES));
  t.notOk(leadsTo('r1', { resolver: '8.8.8.8', status: 'abstained', reason: 'SERVFAIL' }, ADDRESSES));
  t.same(regionsOf(['192.0.2.2', '203.0.113.9', '192.0.2.9'], ADDRESSES), ['r2', null, 'r1']);
});

test('an IPv6 address is the same in whatever way it is written', async (t) => {
  const addresses = { r1: ['2001:DB8:0:0::1'], r2: ['2001:db8::2'] };
  t.ok(leadsTo('r1', answered('2001:db8::1'), addresses));
  t.notOk(leadsTo('r2', answered('2001:db8::1'), addresses));
});

test('a name is asked for by each type that it has addresses of', async (t) => {
  t.same([familiesOf(['2001:db8::1', '2001:db8::2']), familiesOf(['192.0.2.1']), familiesOf(['2001:db8::1', '192.0.2.1'])], [[6], [4], [4, 6]]);
});
