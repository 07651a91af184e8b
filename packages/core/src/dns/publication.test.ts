// Daemons that share a name server: they agree, or one gives way; they never write in turns.

import fc from 'fast-check';
import { test } from 'tap';
import { claimsOf, isMark, markKey, markRrset, ownerKey, ownerRrset, readMark, readOwner, ruleOn } from './publication.ts';
import type { Mark } from './publication.ts';

const mark = (generation: number, digest: string): Mark => ({ generation, digest });

test('nothing published, or something older: published', (t) => {
  t.same(ruleOn(mark(0, 'a'), null, null), { kind: 'publish' });
  t.same(ruleOn(mark(2, 'a'), mark(1, 'b'), null), { kind: 'publish' });
  t.same(ruleOn(mark(0, 'a'), mark(0, 'b'), mark(0, 'b')), { kind: 'publish' }, 'its own specification changed');
  t.end();
});

test('what another one published is left alone', (t) => {
  t.same(ruleOn(mark(1, 'a'), mark(2, 'b'), mark(2, 'b')), { kind: 'superseded', by: mark(2, 'b') });
  t.same(ruleOn(mark(1, 'a'), mark(1, 'b'), null), { kind: 'contested', by: mark(1, 'b') }, 'a daemon without a memory');
  t.same(ruleOn(mark(1, 'a'), mark(1, 'b'), mark(1, 'a')), { kind: 'contested', by: mark(1, 'b') }, 'it published, and somebody else did after it');
  t.same(ruleOn(mark(1, 'a'), mark(1, 'b'), mark(0, 'b')), { kind: 'contested', by: mark(1, 'b') });
  t.same(ruleOn(mark(1, 'a'), mark(1, 'a'), null), { kind: 'correct' });
  t.end();
});

test('a mark survives its text; text that is no mark is none', (t) => {
  const key = markKey('counter', 'app.test.');
  t.same(key, { name: 'counter._continuum.app.test.', type: 'TXT' });
  t.same(markKey('counter', 'app.test'), key);
  t.same(markRrset(key, mark(7, 'abc')), { name: key.name, type: 'TXT', ttlSeconds: 60, records: ['"continuum generation=7 digest=abc"'] });
  for (const one of [mark(7, 'abc'), mark(0, 'a'), mark(10, 'Az_-09'), mark(999_999_999_999_999, 'd'.repeat(64))]) t.same(readMark(markRrset(key, one).records), one);
  for (const contents of [[], ['"x"'], ['"continuum generation=1 digest=a"', '"continuum generation=1 digest=a"'], ['"continuum generation=-1 digest=a"'], ['"continuum generation=1 digest=a b"'],
    ['x"continuum generation=1 digest=a"'], ['"continuum generation=1 digest=a"x'], ['"continuum generation=x digest=a"'], ['"continuum generation= digest=a"'],
    ['"continuum generation=1 digest="'], ['"continuum generation=1 digest=+"'], [`"continuum generation=${'1'.repeat(16)} digest=a"`], [`"continuum generation=1 digest=${'d'.repeat(65)}"`]]) {
    t.equal(readMark(contents), null, contents.join());
  }
  t.end();
});

/** Each one looks and writes in any order; files change in any order. When they stop changing, writing stops. */
test('however files change, they stop writing once no file changes', (t) => {
  const step = fc.record({ who: fc.nat(2), file: fc.option(fc.record({ generation: fc.nat(2), digest: fc.constantFrom('a', 'b', 'c') }), { nil: null }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let found: Mark | null = null;
      const daemons = [0, 1, 2].map((who) => ({ own: mark(0, `start${who}`), agreed: null as Mark | null }));
      const look = (who: number): boolean => {
        const daemon = daemons[who] as (typeof daemons)[number];
        const { kind } = ruleOn(daemon.own, found, daemon.agreed);
        if (kind === 'publish') found = daemon.own;
        if (kind === 'publish' || kind === 'correct') daemon.agreed = daemon.own;
        return kind === 'publish';
      };
      for (const { who, file } of steps) {
        const daemon = daemons[who] as (typeof daemons)[number];
        if (file !== null) daemon.own = file;
        look(who);
      }
      let writes = 0;
      for (let round = 0; round < 10; round++) for (const who of [0, 1, 2]) if (look(who)) writes += 1;
      // Each may still have to say what its file says; nobody says it twice.
      return writes <= 3 && ![0, 1, 2].some(look);
    }),
    { numRuns: 2_000 },
  );
  t.pass('they stop');
  t.end();
});

test('whose a name is stands beside it, under a name of its own for a wildcard', (t) => {
  t.same(ownerKey('shop.app.test.'), { name: '_continuum.shop.app.test.', type: 'TXT' });
  t.same(ownerKey('*.app.test.'), { name: '_continuum-wildcard.app.test.', type: 'TXT' });
  t.same(ownerRrset('shop.app.test.', 'counter'), { name: '_continuum.shop.app.test.', type: 'TXT', ttlSeconds: 60, records: ['"continuum specification=counter"'] });
  for (const one of ['a', 'shop-2', 'd'.repeat(63)]) t.equal(readOwner(ownerRrset('shop.app.test.', one).records), one);
  for (const contents of [[], ['"x"'], ['"continuum specification=a"', '"continuum specification=a"'], ['"continuum specification="'], [`"continuum specification=${'d'.repeat(64)}"`],
    ['"continuum specification=a b"'], ['x"continuum specification=a"'], ['"continuum specification=a"x']]) {
    t.equal(readOwner(contents), null, contents.join());
    t.notOk(isMark(contents), contents.join());
  }
  t.ok(isMark(ownerRrset('shop.app.test.', 'counter').records));
  t.ok(isMark(markRrset(markKey('counter', 'app.test'), mark(1, 'a')).records));
  t.end();
});

test('a name is claimed by who has it, unless that is this specification under the name it had before', (t) => {
  const owners: Readonly<Record<string, string>> = { a: 'shop', b: 'counter', c: 'store' };
  const ownerOf = (name: string): string | null => owners[name] ?? null;
  t.same(claimsOf(['a', 'b', 'free'], ownerOf, ['shop', null]), [{ name: 'b', specification: 'counter' }]);
  t.same(claimsOf(['a', 'c'], ownerOf, ['store', 'shop']), []);
  t.same(claimsOf([], ownerOf, ['shop']), []);
  t.end();
});

/**
 * Specifications that share names, renamed and changed at will; each daemon reads before it writes, and another one may have written in
 * between. When nobody changes a file any more, writing stops, and every name is one specification's.
 */
test('however specifications share names, nobody writes in turns', (t) => {
  type State = { names: string[]; specification: string; published: string | null; owned: string[] };
  const step = fc.record({ who: fc.nat(2), meanwhile: fc.nat(2), names: fc.option(fc.subarray(['x', 'y', 'z'], { minLength: 1 }), { nil: null }), renamed: fc.option(fc.constantFrom('a', 'b', 'c', 'd'), { nil: null }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let owners = new Map<string, string>();
      const states: State[] = ['a', 'b', 'c'].map((specification) => ({ names: ['x', 'y', 'z'], specification, published: null, owned: [] }));
      const write = (state: State, seen: ReadonlyMap<string, string>): boolean => {
        const own = [state.specification, state.published];
        const claimed = (names: readonly string[]): Set<string> => new Set(claimsOf(names, (name) => seen.get(name) ?? null, own).map(({ name }) => name));
        if (claimed(state.names).size > 0) return false;
        const [next, kept] = [new Map(owners), claimed(state.owned)];
        for (const name of state.owned) if (!state.names.includes(name) && !kept.has(name)) next.delete(name);
        for (const name of state.names) next.set(name, state.specification);
        const differs = JSON.stringify([...next].sort()) !== JSON.stringify([...owners].sort());
        owners = next;
        [state.published, state.owned] = [state.specification, state.names];
        return differs;
      };
      for (const { who, meanwhile, names, renamed } of steps) {
        const state = states[who] as State;
        if (names !== null) state.names = names;
        // Two daemons with one name of a specification are ruled by their marks, see above.
        if (renamed !== null && states.every((one) => one === state || ![one.specification, one.published].includes(renamed))) state.specification = renamed;
        const seen = new Map(owners);
        if (meanwhile !== who) write(states[meanwhile] as State, owners);
        write(state, seen);
      }
      const round = (): number => states.filter((state) => write(state, owners)).length;
      for (let rounds = 0; rounds < 5; rounds++) round();
      return round() === 0;
    }),
    { numRuns: 2_000 },
  );
  t.pass('they stop');
  t.end();
});
