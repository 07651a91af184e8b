// The lease functions: each rule by example. Random histories are in history.test.ts.

import t from 'tap';
import { code, healthy, R1, R2, R3, Register, START_MS, TOKEN, TTL_MS } from '../../testing/lease.ts';
import { applyCommand, checkTakeover, checkTransition, leaseDeadlines, newLease, viewLease } from './lease.ts';
import type { LeaseCommand, LeaseRecord } from './types.ts';
import { epoch, lsn, regionId, wallMs } from '../types.ts';

t.test('a lease that nobody has ever held has no holder, no epoch, and nobody in sync', async (t) => {
  t.same(viewLease(newLease('shop', wallMs(START_MS)), R1, wallMs(START_MS)), {
    name: 'shop', revision: 0, epoch: 0, holder: null, instance: null, ttlMs: 0, remainingMs: 0, inSync: [], policyHash: '', handover: null, intent: null, seq: 0,
  });
});

t.test('acquire', async (t) => {
  t.test('grants a lease that nobody ever held, as epoch 1, with only the holder in sync', async (t) => {
    const register = new Register();
    const applied = register.acquire(R1);
    t.match(applied.reply, { outcome: { ok: true }, view: { epoch: 1, holder: 'r1', inSync: ['r1'], remainingMs: TTL_MS } });
    t.same(applied.events, ['granted']);
    t.equal(applied.record.expiresAtMs, START_MS + TTL_MS);
  });

  t.test('is refused up to the last millisecond before expiry and granted at expiry', async (t) => {
    const register = healthy();
    register.atMs += TTL_MS - 1;
    t.equal(code(register.acquire(R2)), 'held');
    register.atMs += 1;
    t.match(register.acquire(R2).reply, { outcome: { ok: true }, view: { epoch: 2, holder: 'r2' } });
  });

  t.test('is refused to the holder itself while it holds', async (t) => {
    t.equal(code(healthy().acquire(R1)), 'held');
  });

  t.test('gives the old holder a new epoch after its expiry', async (t) => {
    const register = healthy();
    register.atMs += TTL_MS;
    t.match(register.acquire(R1).reply.view, { epoch: 2, holder: 'r1', inSync: ['r1'] });
  });

  t.test('is refused when the region did not see the current epoch', async (t) => {
    const register = healthy();
    register.atMs += TTL_MS;
    t.equal(code(register.acquire(R2, { epochSeen: epoch(0) })), 'epoch-stale');
    t.equal(code(register.acquire(R2, { epochSeen: epoch(2) })), 'epoch-stale');
  });

  t.test('is refused outside the in-sync set, and says so', async (t) => {
    const register = new Register();
    register.acquire(R1);
    register.atMs += TTL_MS;
    const { outcome } = register.acquire(R2).reply;
    t.match(outcome, { ok: false, code: 'not-in-sync', detail: 'region r2 is not in the in-sync set [r1]' });
    t.equal(register.record.holder, R1, 'nobody was granted anything');
  });

  t.test('is refused with another specification than the last holder', async (t) => {
    const register = healthy();
    register.atMs += TTL_MS;
    t.equal(code(register.acquire(R2, { policyHash: 'other' })), 'policy-mismatch');
  });

  t.test('with another specification is granted to who held the lease last, expired or released', async (t) => {
    const expired = healthy();
    expired.atMs += TTL_MS;
    t.match(expired.acquire(R1, { policyHash: 'other' }).reply, { outcome: { ok: true }, view: { epoch: 2, policyHash: 'other' } });
    const released = healthy();
    released.release(R1);
    t.equal(code(released.acquire(R2, { policyHash: 'other' })), 'policy-mismatch');
    t.match(released.acquire(R1, { policyHash: 'other' }).reply, { outcome: { ok: true }, view: { epoch: 2 } });
  });

  t.test('by force passes the in-sync set and the specification, but neither a holder nor the epoch', async (t) => {
    const force = { reason: 'r1 burnt down', estimatedLoss: '16 MB' };
    const register = new Register();
    register.acquire(R1);
    t.equal(code(register.acquire(R2, { force })), 'held');
    register.atMs += TTL_MS;
    t.equal(code(register.acquire(R2, { force, epochSeen: epoch(0) })), 'epoch-stale');
    const forced = register.acquire(R2, { force, policyHash: 'other' });
    t.match(forced.reply.view, { epoch: 2, holder: 'r2', inSync: ['r2'], policyHash: 'other' });
  });

  t.test('of many racing regions is granted once', async (t) => {
    const register = new Register();
    const racers = Array.from({ length: 64 }, (_, index) => regionId(`r${index}`));
    const won = racers.filter((region) => register.acquire(region, { epochSeen: epoch(0) }).reply.outcome.ok);
    t.equal(won.length, 1);
  });
});

t.test('renew', async (t) => {
  t.test('extends from the time it was received and keeps the epoch', async (t) => {
    const register = healthy();
    register.atMs += 400;
    const applied = register.renew(R1, { ttlMs: 2_000, policyHash: 'p2' });
    t.match(applied.reply.view, { epoch: 1, remainingMs: 2_000, ttlMs: 2_000, policyHash: 'p2', inSync: ['r1', 'r2'] });
    t.same(applied.events, ['renewed']);
  });

  t.test('holds in the last millisecond and is refused at expiry', async (t) => {
    const register = healthy();
    register.atMs += TTL_MS - 1;
    t.equal(code(register.renew(R1)), 'ok');
    register.atMs += TTL_MS;
    t.equal(code(register.renew(R1)), 'expired');
  });

  t.test('stays refused after an expiry when the clock runs backwards', async (t) => {
    const register = healthy();
    register.atMs += TTL_MS;
    t.equal(code(register.renew(R1)), 'expired');
    register.atMs -= TTL_MS;
    t.equal(code(register.renew(R1)), 'expired');
    t.equal(viewLease(register.record, R2, wallMs(register.atMs)).remainingMs, 0);
  });

  t.test('counts from the highest time that was seen when the clock runs backwards', async (t) => {
    const register = healthy();
    register.atMs += 600;
    register.renew(R1);
    register.atMs -= 500;
    const applied = register.renew(R1);
    t.equal(applied.record.expiresAtMs, START_MS + 600 + TTL_MS);
    t.equal(applied.reply.view.remainingMs, TTL_MS);
  });

  t.test('is refused to others, under another epoch and to a second controller of the region', async (t) => {
    const register = healthy();
    t.equal(code(register.renew(R2)), 'not-holder');
    t.equal(code(register.renew(R1, { epoch: epoch(2) })), 'epoch-stale');
    t.equal(code(register.renew(R1, { instance: 'second' })), 'instance-conflict');
    t.equal(register.record.instance, 'r1-controller');
  });
});

t.test('release frees the lease at once and keeps the epoch and the in-sync set', async (t) => {
  const register = healthy();
  t.equal(code(register.release(R2)), 'not-holder');
  t.equal(code(register.release(R1, { instance: 'second' })), 'instance-conflict');
  const applied = register.release(R1);
  t.match(applied.reply.view, { epoch: 1, holder: null, instance: 'r1-controller', remainingMs: 0, inSync: ['r1', 'r2'] });
  t.same(applied.events, ['released']);
  t.equal(leaseDeadlines(applied.record), null);
  t.equal(code(register.renew(R1)), 'not-holder');
  t.match(register.acquire(R2).reply.view, { epoch: 2, holder: 'r2' });
});

t.test('transfer', async (t) => {
  t.test('hands over in one step: new epoch, new holder, the token for whoever looks', async (t) => {
    const register = healthy();
    register.request(R1);
    const applied = register.transfer(R1, R2);
    t.match(applied.reply.view, { epoch: 2, holder: 'r2', instance: null, inSync: ['r2'], intent: null, remainingMs: TTL_MS });
    t.same(applied.reply.view.handover, { id: 's1', from: 'r1', to: 'r2', token: TOKEN });
    t.same(applied.events, ['transferred']);
    t.equal(code(register.renew(R1, { epoch: epoch(1) })), 'not-holder');
    t.equal(code(register.renew(R2)), 'ok');
    t.equal(register.record.instance, 'r2-controller', 'the first renewal says which controller holds it');
    t.not(register.record.handover, null, 'the token stays until the next change of epoch');
  });

  t.test('is refused to itself, outside the in-sync set, to others and after expiry', async (t) => {
    const register = healthy();
    t.equal(code(register.transfer(R1, R1)), 'invalid');
    t.equal(code(register.transfer(R1, R3)), 'not-in-sync');
    t.equal(code(register.transfer(R2, R1)), 'not-holder');
    t.equal(code(register.transfer(R1, R2, { epoch: epoch(9) })), 'epoch-stale');
    register.atMs += TTL_MS;
    t.equal(code(register.transfer(R1, R2)), 'expired');
    t.equal(register.record.epoch, 1);
  });

  t.test('forgets the hand-over when the lease is acquired afresh', async (t) => {
    const register = healthy();
    register.transfer(R1, R2);
    register.atMs += TTL_MS;
    t.equal(register.acquire(R2).reply.view.handover, null);
  });
});

t.test('setInSync', async (t) => {
  t.test('is sorted, without doubles, and only for the valid holder', async (t) => {
    const register = healthy();
    t.same(register.setInSync(R1, [R3, R1, R2, R1]).reply.view.inSync, ['r1', 'r2', 'r3']);
    t.equal(code(register.setInSync(R2, [R1, R2])), 'not-holder');
    t.equal(code(register.setInSync(R1, [R1], { epoch: epoch(0) })), 'epoch-stale');
    register.atMs += TTL_MS;
    t.equal(code(register.setInSync(R1, [R1])), 'expired');
    t.same(register.record.inSync, ['r1', 'r2', 'r3']);
  });

  t.test('always contains the holder', async (t) => {
    const register = healthy();
    t.equal(code(register.setInSync(R1, [R2])), 'invalid');
    t.same(register.record.inSync, ['r1', 'r2']);
  });

  t.test('takes effect before a takeover: who was removed cannot acquire', async (t) => {
    const register = healthy();
    t.same(register.setInSync(R1, [R1]).events, ['in-sync']);
    register.atMs += TTL_MS;
    t.equal(code(register.acquire(R2)), 'not-in-sync');
  });
});

t.test('switchover intents', async (t) => {
  t.test('are seen by all, answered by the target, and end with the hand-over', async (t) => {
    const register = healthy();
    t.match(register.request(R2).reply.view.intent, { id: 's1', from: 'r1', to: 'r2', target: 'pending', reasons: [] });
    const refused = register.answer(R2, { answer: 'refused', reasons: ['lag unknown'] });
    t.match(refused.reply.view.intent, { target: 'refused', reasons: ['lag unknown'] });
    t.match(register.answer(R2).reply.view.intent, { target: 'ready', reasons: [] });
    t.equal(register.transfer(R1, R2).reply.view.intent, null);
  });

  t.test('keep their answer and their time when they are asked for again', async (t) => {
    const register = healthy();
    register.request(R1, { validForMs: 500 });
    register.answer(R2);
    register.atMs += 300;
    const again = register.request(R1, { validForMs: 500 });
    t.match(again.reply, { outcome: { ok: true }, view: { intent: { target: 'ready' } } });
    t.equal(register.record.intent?.expiresAtMs, START_MS + 500);
  });

  t.test('one at a time, until it is void', async (t) => {
    const register = healthy();
    register.request(R1, { validForMs: 500 });
    t.equal(code(register.request(R2, { id: 's2' })), 'switchover-pending');
    register.atMs += 499;
    t.equal(code(register.request(R2, { id: 's2' })), 'switchover-pending');
    register.atMs += 1;
    t.equal(viewLease(register.record, R1, wallMs(register.atMs)).intent, null);
    t.equal(code(register.answer(R2)), 'switchover-unknown');
    t.equal(code(register.request(R2, { id: 's2' })), 'ok');
  });

  t.test('under the same id to another region is another intent', async (t) => {
    const register = healthy();
    register.setInSync(R1, [R1, R2, R3]);
    register.request(R1);
    t.equal(code(register.request(R1, { to: R3 })), 'switchover-pending');
    t.equal(register.record.intent?.to, R2);
  });

  t.test('are refused without a valid holder, to itself and outside the in-sync set', async (t) => {
    const register = healthy();
    t.equal(code(register.request(R1, { from: R2, to: R1 })), 'not-holder');
    t.equal(code(register.request(R1, { to: R1 })), 'invalid');
    t.equal(code(register.request(R1, { to: R3 })), 'not-in-sync');
    register.atMs += TTL_MS;
    t.equal(code(register.request(R1)), 'not-holder');
  });

  t.test('are cancelled by either side and by nobody else', async (t) => {
    const register = healthy();
    register.request(R1);
    t.equal(code(register.answer(R3, { answer: 'cancelled' })), 'invalid');
    t.equal(code(register.answer(R1)), 'invalid', 'the source does not say that the target is ready');
    t.equal(code(register.answer(R2, { id: 'other' })), 'switchover-unknown');
    t.equal(register.answer(R1, { answer: 'cancelled' }).reply.view.intent, null);
    t.equal(code(register.answer(R2)), 'switchover-unknown');
  });

  t.test('end with a release and with a new holder', async (t) => {
    const released = healthy();
    released.request(R1);
    t.equal(released.release(R1).reply.view.intent, null);
    const expired = healthy();
    expired.request(R1, { validForMs: 60_000 });
    expired.atMs += TTL_MS;
    t.equal(expired.acquire(R2).reply.view.intent, null);
  });
});

t.test('numbering', async (t) => {
  t.test('the same command again is answered the same and not executed again', async (t) => {
    const register = healthy();
    const command: LeaseCommand = {
      kind: 'renew', ...register.next(R1), epoch: epoch(1), ttlMs: TTL_MS, policyHash: 'p',
    };
    register.apply(command);
    const before = register.record;
    register.atMs += 700;
    const again = register.apply(Object.fromEntries(Object.entries(command).reverse()) as LeaseCommand);
    t.match(again.reply, { outcome: { ok: true }, view: { remainingMs: TTL_MS - 700 } }, 'it does not extend');
    t.equal(again.record, before);
    t.same(again.events, []);
  });

  t.test('a repeated refusal stays the refusal that it was', async (t) => {
    const register = healthy();
    const command: LeaseCommand = {
      kind: 'acquire', ...register.next(R2), epochSeen: epoch(1), ttlMs: TTL_MS, policyHash: 'p', force: null,
    };
    t.equal(code(register.apply(command)), 'held');
    register.atMs += TTL_MS;
    t.equal(code(register.apply(command)), 'held');
    t.equal(register.record.epoch, 1);
  });

  t.test('another command under a used number is refused, an older number too', async (t) => {
    const register = healthy();
    register.renew(R1);
    const used = register.seq.get(R1) ?? 0;
    const release = { kind: 'release' as const, region: R1, instance: 'r1-controller', epoch: epoch(1) };
    t.equal(code(register.apply({ ...release, seq: used })), 'seq-reused');
    t.equal(code(register.apply({ ...release, seq: used - 1 })), 'seq-stale');
    t.equal(register.record.holder, R1);
  });

  t.test('a repeat is the same command to the last value in it', async (t) => {
    const register = healthy();
    const widen = { kind: 'setInSync', ...register.next(R1), epoch: epoch(1), inSync: [R1, R2, R3] } as const;
    t.equal(code(register.apply(widen)), 'ok');
    for (const other of [{ inSync: [R1, R2] }, { inSync: [R1, R2, regionId('r4')] }, { instance: 'another' }, { epoch: epoch(2) }]) {
      t.equal(code(register.apply({ ...widen, ...other })), 'seq-reused', JSON.stringify(other));
    }
    t.equal(code(register.apply(widen)), 'ok');
    const transfer = { kind: 'transfer', ...register.next(R1), epoch: epoch(1), id: 's1', to: R2, token: TOKEN } as const;
    t.equal(code(register.apply(transfer)), 'ok');
    t.equal(code(register.apply({ ...transfer, token: { ...TOKEN, checkpointLsn: lsn('0/3000029') } })), 'seq-reused', 'a value within a value');
    t.equal(code(register.apply(transfer)), 'ok');
  });

  t.test('counts per region, survives refusals, and each region is shown its own', async (t) => {
    const register = healthy();
    register.renew(R2);
    t.equal(viewLease(register.record, R1, wallMs(register.atMs)).seq, 2);
    t.equal(viewLease(register.record, R2, wallMs(register.atMs)).seq, 1);
    t.equal(viewLease(register.record, R3, wallMs(register.atMs)).seq, 0);
  });
});

t.test('the view has no time of the witness and no sequence number of others', async (t) => {
  const register = healthy();
  register.request(R1);
  const view = JSON.stringify(viewLease(register.record, R2, wallMs(register.atMs)));
  t.notMatch(view, /100[01][0-9]{3}/, 'no absolute time');
  t.notMatch(view, /expiresAtMs|clockMs|fingerprint|last/);
});

t.test('the deadlines are half the ttl after the renewal, and the expiry', async (t) => {
  const register = healthy();
  t.same(leaseDeadlines(register.record), { overdueAtMs: START_MS + TTL_MS / 2, expiresAtMs: START_MS + TTL_MS });
  t.equal(leaseDeadlines(newLease('shop', wallMs(0))), null);
});

t.test('a lease that nobody ever held promises nothing to anybody', async (t) => {
  const record = newLease('shop', wallMs(START_MS));
  t.match(record, { name: 'shop', revision: 0, epoch: 0, holder: null, clockMs: START_MS, inSync: [], policyHash: '', handover: null, intent: null, last: {} });
});

/** Every refusal, with the command that earns it and the words that an operator reads. */
const refusals: readonly [string, string, (register: Register) => ReturnType<typeof applyCommand>][] = [
  ['held', 'region r1 holds epoch 1', (register) => register.acquire(R2)],
  ['epoch-stale', 'you saw epoch 0, the lease is at 1', (register) => (register.release(R1), register.acquire(R2, { epochSeen: epoch(0) }))],
  ['not-in-sync', 'region r3 is not in the in-sync set [r1, r2]', (register) => (register.release(R1), register.acquire(R3))],
  ['policy-mismatch', "your specification differs from the last holder's (p)", (register) => (register.release(R1), register.acquire(R2, { policyHash: 'q' }))],
  ['not-holder', 'the lease belongs to r1, epoch 1', (register) => register.renew(R2)],
  ['not-holder', 'the lease belongs to nobody, epoch 1', (register) => (register.release(R1), register.renew(R1))],
  ['epoch-stale', 'you hold epoch 7, the lease is at 1', (register) => register.renew(R1, { epoch: epoch(7) })],
  ['instance-conflict', 'another controller of region r1 holds this lease', (register) => register.renew(R1, { instance: 'second' })],
  ['expired', 'epoch 1 expired; acquire a new one', (register) => ((register.atMs += TTL_MS), register.renew(R1))],
  ['invalid', 'a transfer goes to another region', (register) => register.transfer(R1, R1)],
  ['not-in-sync', 'region r3 is not in the in-sync set [r1, r2]', (register) => register.transfer(R1, R3)],
  ['invalid', 'the holder is always in its own in-sync set', (register) => register.setInSync(R1, [R2])],
  ['not-holder', 'region r2 does not hold the lease', (register) => register.request(R2, { from: R2, to: R1 })],
  ['invalid', 'region r1 holds the lease already', (register) => register.request(R2, { to: R1 })],
  ['not-in-sync', 'region r3 is not in the in-sync set [r1, r2]', (register) => register.request(R1, { to: R3 })],
  ['switchover-pending', 'switchover s1 to r2 is under way', (register) => (register.request(R1), register.request(R1, { id: 's2' }))],
  ['switchover-unknown', 'no switchover s9 is under way', (register) => register.answer(R2, { id: 's9' })],
  ['invalid', 'region r3 takes no part in switchover s1', (register) => (register.request(R1), register.answer(R3))],
  ['invalid', 'only r2 says whether it is ready', (register) => (register.request(R1), register.answer(R1))],
  ['seq-stale', 'sequence 1 is below 2, the last one of region r1', (register) => register.apply({ kind: 'release', region: R1, seq: 1, instance: 'r1-controller', epoch: epoch(1) })],
  ['seq-reused', 'sequence 2 of region r1 was another command', (register) => register.apply({ kind: 'release', region: R1, seq: 2, instance: 'r1-controller', epoch: epoch(1) })],
];

t.test('a refusal has a code for machines and says in words what was seen and what is needed', async (t) => {
  for (const [code, detail, send] of refusals) t.same(send(healthy()).reply.outcome, { ok: false, code, detail }, detail);
  const register = healthy();
  register.setInSync(R1, [R1, R2, R3]);
  register.request(R1);
  t.same(register.request(R1, { to: R3 }).reply.outcome, { ok: false, code: 'switchover-pending', detail: 'switchover s1 goes to r2' });
});

t.test('watchers hear of an intent when it comes, is answered or ends, and not of a repeated one', async (t) => {
  const register = healthy();
  const asked = register.request(R1);
  t.same(asked.events, ['intent']);
  t.same(asked.record.intent, { id: 's1', from: R1, to: R2, target: 'pending', reasons: [], expiresAtMs: START_MS + 500 });
  t.same(register.request(R1).events, []);
  t.same(register.answer(R2).events, ['intent']);
  t.same(register.answer(R2, { answer: 'cancelled' }).events, ['intent']);
});

t.test('a controller of another region that calls itself the same is not who held the lease last', async (t) => {
  const register = healthy();
  register.atMs += TTL_MS;
  t.equal(code(register.acquire(R2, { instance: 'r1-controller', policyHash: 'other' })), 'policy-mismatch');
});

t.test('a command that this version does not know ends the process', async (t) => {
  const unknown = { kind: 'sublet', region: R1, seq: 9, instance: 'r1-controller' } as unknown as LeaseCommand;
  t.throws(() => healthy().apply(unknown), { code: 'CTM_ASSERT_UNREACHABLE' });
});

t.test('a record that breaks a promise ends the process instead of being stored', async (t) => {
  const { record } = healthy();
  const broken: [string, string, Partial<LeaseRecord>][] = [
    ['EPOCH_MONOTONE', '1 -> 0', { epoch: epoch(0) }],
    ['EPOCH_STEP', '1 -> 3', { epoch: epoch(3) }],
    ['CLOCK_MONOTONE', `${START_MS} -> ${START_MS - 1}`, { clockMs: wallMs(START_MS - 1) }],
    ['GRANT_NEEDS_EPOCH', 'epoch 1', { holder: R2 }],
    ['EPOCH_NEEDS_HOLDER', 'epoch 2', { epoch: epoch(2), holder: null }],
    ['IN_SYNC_EMPTY', 'epoch 1', { inSync: [] }],
  ];
  for (const [rule, detail, change] of broken) {
    const message = `CTM_ASSERT_${rule}: ${detail}`;
    t.throws(() => checkTransition(record, { ...record, ...change }), { code: `CTM_ASSERT_${rule}`, message });
  }
});

t.test('the lease goes to nobody who may lack writes, whatever led to it', async (t) => {
  const { record } = healthy();
  const takeover = { kind: 'acquire', region: R3, seq: 1, instance: 'x', epochSeen: record.epoch, ttlMs: TTL_MS, policyHash: 'p', force: null } as const;
  t.throws(() => checkTakeover(record, takeover), { message: 'CTM_ASSERT_TAKEOVER_OUTSIDE_IN_SYNC: r3 of [r1,r2]' });
  t.doesNotThrow(() => checkTakeover(record, { ...takeover, region: R2 }));
  t.doesNotThrow(() => checkTakeover(record, { ...takeover, force: { reason: 'r1 is gone', estimatedLoss: 'unknown' } }));
  t.doesNotThrow(() => checkTakeover({ ...record, epoch: epoch(0), inSync: [] }, takeover));
});

t.test('a record that was damaged where it was stored is not carried on with', async (t) => {
  const register = healthy();
  register.record = { ...register.record, inSync: [] };
  const renewal = { kind: 'renew', ...register.next(R1), epoch: epoch(1), ttlMs: TTL_MS, policyHash: 'p' } as const;
  t.throws(() => applyCommand(register.record, renewal, wallMs(START_MS)), { code: 'CTM_ASSERT_IN_SYNC_EMPTY' });
});

t.test('a lease that nobody holds is free, whatever time stands beside it', async (t) => {
  const register = healthy();
  register.record = { ...register.record, holder: null };
  t.equal(viewLease(register.record, R2, wallMs(START_MS)).remainingMs, 0);
  t.equal(code(register.acquire(R2)), 'ok');
});
