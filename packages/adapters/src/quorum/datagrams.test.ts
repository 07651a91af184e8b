// A socket that is kept from round to round, and what could go wrong with one: nothing of an earlier round may be a vote, end one or
// keep one away.

import { regionId } from '@continuum/core';
import type { CastVote } from '@continuum/core';
import { test } from 'tap';
import type { Test } from 'tap';
import { freePort, waitFor } from '../../../../test/rig/process.ts';
import { isWorn } from './datagrams.ts';
import { startHostileResolver } from './hostile-resolver.ts';
import type { Behaviour } from './hostile-resolver.ts';
import { ZONE, good, isControl, publicKeys } from './hostile-words.ts';
import { createQuorum } from './quorum.ts';

const DEADLINE_MS = 300;
const [r1, r2] = [regionId('r1'), regionId('r2')];
const never = new AbortController().signal;
const attested = { kind: 'attested', epoch: 7 };

let address = 10;

/** A voter at a resolver that behaves so; `ports`: where each question came from. */
async function voterAt(t: Test, behave: Behaviour) {
  const at = `127.46.1.${address++}`;
  const ports: number[] = [];
  const recording: Behaviour = (asked, resolver) => {
    ports.push(asked.fromPort);
    return behave(asked, resolver);
  };
  const resolver = await startHostileResolver(at, await freePort(at), recording);
  let [strays, closed] = [0, false];
  const quorum = await createQuorum({ zone: ZONE, lease: 'counter', region: r2, voters: [{ name: 'one', vendor: 'some', address: at, port: resolver.port }], publicKeys, onStray: () => (strays += 1) });
  const close = async (): Promise<void> => {
    if (!closed) await resolver.close();
    closed = true;
  };
  t.teardown(async () => {
    await quorum.close();
    await close();
  });
  const round = async (deadlineMs = DEADLINE_MS) => ((await quorum.round(r1, deadlineMs, never))[0] as CastVote).vote;
  return { round, ports, strays: () => strays, resolver, close, startAgain: () => startHostileResolver(at, resolver.port, recording).then((again) => t.teardown(() => again.close())) };
}

test('rounds that are answered share one socket', async (t) => {
  const { round, ports, strays } = await voterAt(t, good);
  for (let count = 0; count < 5; count++) t.same(await round(), attested);
  t.equal(ports.length, 10);
  t.equal(new Set(ports).size, 1);
  t.equal(strays(), 0);
});

test('a late answer of an earlier round is nothing but counted', async (t) => {
  const late: Buffer[] = [];
  let first = true;
  const { round, ports, strays } = await voterAt(t, (asked) => {
    if (isControl(asked)) return good(asked);
    if (!first) return [...late, good(asked)];
    first = false;
    late.push(good(asked));
    return null;
  });
  t.same(await round(), { kind: 'silent', reason: 'no answer in time' });
  t.same(await round(), attested);
  t.equal(new Set(ports).size, 1, 'on the same socket');
  t.equal(strays(), 1);
  first = true;
  t.same(await round(), { kind: 'silent', reason: 'no answer in time' }, 'the word of the round before is none in this one');
});

test('a late answer alone leaves the round as silent as it is', async (t) => {
  const late: Buffer[] = [];
  const { round, strays } = await voterAt(t, (asked) => {
    if (isControl(asked)) return good(asked);
    late.push(good(asked));
    return late.length === 1 ? null : (late[0] as Buffer);
  });
  t.match(await round(), { kind: 'silent' });
  t.same(await round(), { kind: 'silent', reason: 'no answer in time' });
  t.equal(strays(), 1);
});

test('doubled answers are counted, and rounds at the same time are not mixed', async (t) => {
  const { round, strays } = await voterAt(t, (asked) => [good(asked), good(asked)]);
  t.same(await Promise.all([round(), round(), round()]), [attested, attested, attested]);
  await waitFor('the second copies', () => strays() === 6);
  t.pass('all of them');
});

test('a refusal of an earlier datagram, told at the next one, costs no vote', async (t) => {
  const { round, ports, close, startAgain } = await voterAt(t, good);
  t.same(await round(), attested);
  await close();
  // Sent to a closed port; before the kernel's word of it is heard, the resolver is there again.
  const vote = round();
  await startAgain();
  t.same(await vote, attested);
  t.equal(new Set(ports).size, 2, 'asked again through a fresh socket');
});

test('a refusal through a fresh socket is a word, and the next round asks again', async (t) => {
  const { round, close, startAgain } = await voterAt(t, good);
  t.same(await round(), attested);
  await close();
  for (let count = 0; count < 3; count++) t.match(await round(5_000), { kind: 'abstain', reason: /ECONNREFUSED/ });
  await startAgain();
  t.same(await round(), attested);
});

test('where answers stop without an error, the next round has a fresh socket', async (t) => {
  let silent = false;
  const { round, ports } = await voterAt(t, (asked) => (silent ? null : good(asked)));
  t.same(await round(), attested);
  silent = true;
  t.match(await round(), { kind: 'abstain', reason: 'control name: no answer in time' });
  silent = false;
  t.same(await round(), attested);
  t.equal(new Set(ports).size, 2);
  t.same(ports.map((port) => port === ports[0]), [true, true, true, true, false, false]);
});

test('one that answers late in its life is kept from then on', async (t) => {
  let silent = true;
  const { round, ports } = await voterAt(t, (asked) => (silent ? null : good(asked)));
  t.match(await round(50), { kind: 'abstain' });
  silent = false;
  for (let count = 0; count < 3; count++) t.same(await round(), attested);
  t.equal(new Set(ports).size, 1);
});

test('a round that ends without an answer takes nothing from one that goes on', async (t) => {
  const waiting: (() => void)[] = [];
  let silent = false;
  const { round } = await voterAt(t, (asked) => (silent ? new Promise((resolve) => waiting.push(() => resolve(good(asked)))) : good(asked)));
  t.same(await round(), attested);
  silent = true;
  const long = round(5_000);
  t.match(await round(50), { kind: 'abstain' });
  silent = false;
  t.same(await round(), attested);
  for (const answer of waiting) answer();
  t.same(await long, attested);
});

test('a socket that waits for the next round keeps no process alive', async (t) => {
  const alive = (): number => process.getActiveResourcesInfo().filter((one) => one.startsWith('UDP')).length;
  const { round } = await voterAt(t, good);
  t.same(await round(), attested);
  await waitFor('nothing but the resolver of this test', () => alive() === 1);
  t.pass('its socket is not counted');
});

test('a socket is not kept for ever, nor when it brings nothing', async (t) => {
  const kept = { openedMs: 1_000, answeredMs: 1_001, missed: false };
  t.notOk(isWorn(kept, 10_999));
  t.ok(isWorn(kept, 11_000));
  t.ok(isWorn({ ...kept, missed: true }, 1_002), 'it answered once, and no more');
  const dead = { openedMs: 1_000, answeredMs: null, missed: true };
  t.notOk(isWorn(dead, 3_999), 'a resolver that is away needs no new one in every round');
  t.ok(isWorn(dead, 4_000));
});
