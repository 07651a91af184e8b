// The outcome of a round: two that agree, of two vendors, and nothing in between.

import fc from 'fast-check';
import { test } from 'tap';
import { regionId } from '../types.ts';
import { tally, voteOf, votersProblem } from './quorum.ts';
import type { CastVote, Finding, Vote } from './quorum.ts';

const r1 = regionId('r1');
const attested = (epoch: number): Vote => ({ kind: 'attested', epoch });
const silent: Vote = { kind: 'silent', reason: 'SERVFAIL' };
const abstain: Vote = { kind: 'abstain', reason: 'no answer in time' };
const names = ['8.8.8.8', '1.1.1.1', '9.9.9.9', '4.4.4.4'];
const cast = (votes: readonly Vote[], vendors = ['google', 'cloudflare', 'quad9', 'other']): CastVote[] =>
  votes.map((vote, index) => ({ voter: { name: names[index] ?? '', vendor: vendors[index] ?? '' }, vote }));

test('two of three decide; one, or none, does not', async (t) => {
  t.same(tally(r1, cast([attested(7), attested(7), silent])), { kind: 'attested', region: r1, epoch: 7 });
  t.same(tally(r1, cast([silent, abstain, silent])), { kind: 'dark' });
  t.same(tally(r1, cast([attested(7), silent, abstain])), {
    kind: 'abstain',
    reasons: [
      { voter: '8.8.8.8', reason: 'attests epoch 7' },
      { voter: '1.1.1.1', reason: 'silent (SERVFAIL)' },
      { voter: '9.9.9.9', reason: 'no answer in time' },
    ],
  });
  t.equal(tally(r1, cast([abstain, abstain, abstain])).kind, 'abstain');
  t.equal(tally(r1, []).kind, 'abstain');
});

test('two epochs are not one word, and two sides that could both win cancel each other', async (t) => {
  t.equal(tally(r1, cast([attested(7), attested(8), abstain])).kind, 'abstain');
  t.same(tally(r1, cast([attested(7), attested(8), attested(8)])), { kind: 'attested', region: r1, epoch: 8 });
  t.equal(tally(r1, cast([attested(7), attested(7), silent, silent])).kind, 'abstain');
});

test('an outcome that rests on one vendor does not count, nor does one voter counted twice', async (t) => {
  t.equal(tally(r1, cast([silent, silent, abstain], ['google', 'google', 'quad9'])).kind, 'abstain');
  t.equal(tally(r1, cast([attested(7), attested(7), silent], ['google', 'google', 'quad9'])).kind, 'abstain');
  t.equal(tally(r1, cast([silent, silent, silent], ['google', 'google', 'quad9'])).kind, 'dark');
  const twice = cast([silent, silent]).map((one, index) => ({ ...one, voter: { name: 'same', vendor: `v${index}` } }));
  t.equal(tally(r1, twice).kind, 'abstain');
});

test('silence without a control answer is none', async (t) => {
  const control: Finding = { kind: 'attested', epoch: 0 };
  const nothing: Finding = { kind: 'nothing', reason: 'no answer in time' };
  const unusable: Finding = { kind: 'unusable', reason: 'wrong signature' };
  const found = (finding: Finding) => () => finding;
  const never = (): Finding => {
    throw new Error('nobody needs a control here');
  };
  t.same(voteOf(nothing, found(control)), { kind: 'silent', reason: 'no answer in time' });
  t.same(voteOf(nothing, found(nothing)), { kind: 'abstain', reason: 'control name: no answer in time' });
  t.same(voteOf(nothing, found(unusable)), { kind: 'abstain', reason: 'control name: wrong signature' });
  t.same(voteOf(unusable, never), { kind: 'abstain', reason: 'wrong signature' });
  t.same(voteOf({ kind: 'attested', epoch: 7 }, never), attested(7), 'a word that came needs no control');
});

test('a list of voters must leave two vendors besides the register’s own', async (t) => {
  const list = (...vendors: string[]) => vendors.map((vendor, index) => ({ name: names[index] ?? '', vendor }));
  t.equal(votersProblem(list('google', 'cloudflare', 'quad9'), 'cloudflare'), null);
  t.match(votersProblem(list('google', 'cloudflare', 'cloudflare'), 'cloudflare'), /besides cloudflare/);
  t.equal(votersProblem(list('google', 'google', 'google'), null), 'use resolvers of at least 2 vendors: an outcome needs two that agree');
  t.equal(votersProblem(list('google', 'cloudflare', 'cloudflare'), null), null);
  t.match(votersProblem([{ name: 'a', vendor: 'x' }, { name: 'a', vendor: 'y' }], null), /once/);
});

test('no set of votes gives an outcome that fewer than two voters of two vendors carry', async (t) => {
  const vote = fc.oneof(fc.integer({ min: 1, max: 3 }).map(attested), fc.constant(silent), fc.constant(abstain));
  const vendors = fc.array(fc.constantFrom('google', 'cloudflare', 'quad9'), { minLength: 4, maxLength: 4 });
  fc.assert(
    fc.property(fc.array(vote, { maxLength: 4 }), vendors, (votes, by) => {
      const outcome = tally(r1, cast(votes, by));
      if (outcome.kind === 'abstain') return;
      const agree = votes.flatMap((one, index) => {
        const same = outcome.kind === 'dark' ? one.kind === 'silent' : one.kind === 'attested' && one.epoch === outcome.epoch;
        return same ? [by[index]] : [];
      });
      t.ok(agree.length >= 2 && new Set(agree).size >= 2);
    }),
    { numRuns: 2_000 },
  );
});
