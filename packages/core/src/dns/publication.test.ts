// Daemons that share a name server: they agree, or one gives way; they never write in turns.

import fc from 'fast-check';
import { test } from 'tap';
import { markKey, markRrset, readMark, ruleOn } from './publication.ts';
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
