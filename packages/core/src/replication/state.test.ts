// What is read off the state of a cluster: whose samples, which walsender, where the received log ends.

import t from 'tap';
import { both, primary, standby, watch } from '../../testing/pair.ts';
import { lsn } from '../types.ts';
import { asRole, primaryOf, receivedLsn, walsenderOf } from './state.ts';

t.test('the received log ends at the further one of what was received and what was replayed', async (t) => {
  const at = (receiveLsn: string | null, replayLsn: string | null) =>
    receivedLsn({ ...standby, receiveLsn: receiveLsn === null ? null : lsn(receiveLsn), replayLsn: replayLsn === null ? null : lsn(replayLsn) });
  t.equal(at('0/500', '0/400'), '0/500');
  t.equal(at('0/400', '0/500'), '0/500');
  t.equal(at('0/500', '0/500'), '0/500');
  t.equal(at(null, '0/400'), '0/400');
  t.equal(at('0/500', null), '0/500');
  t.equal(at(null, null), null);
  t.equal(at('garbage', '0/400'), 'garbage', 'which is further nobody knows: the receiver has the word');
});

t.test('a sample is taken for what it is', async (t) => {
  const state = watch(both(2));
  t.equal(asRole(null, 'primary'), null);
  t.equal(asRole(undefined, 'primary'), null);
  const seen = state.ends['r2']?.seen ?? null;
  t.equal(asRole(seen, 'standby'), seen);
  t.equal(asRole(seen, 'primary'), null);
  t.match(primaryOf(state)?.sample, { role: 'primary', lsn: '0/500' });
  t.equal(primaryOf(watch([])), null);
});

t.test('of several connections of one name the streaming one counts', async (t) => {
  const [sender] = primary.walsenders;
  if (sender === undefined) throw new Error('the example has a walsender');
  const of = (...walsenders: (typeof primary)['walsenders']) => {
    const state = watch(both(1, { ...primary, walsenders }));
    const end = state.ends['r2'];
    if (end === undefined) throw new Error('the example has this end');
    return walsenderOf(primaryOf(state), end);
  };
  t.equal(of(), null);
  t.equal(of({ ...sender, name: 'another' }), null);
  t.match(of({ ...sender, state: 'catchup' }), { state: 'catchup' });
  t.match(of({ ...sender, state: 'startup' }, sender), { state: 'streaming' });
});
