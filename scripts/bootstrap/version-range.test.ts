// Versions as the real parts print them, against the ranges of the table.

import t from 'tap';
import { parseRange, satisfies } from './version-range.mjs';

t.test('every comparator of a range must hold', async (t) => {
  const accepted = ['4.7', '4.7.3', '4.9.10', '5.0.99'];
  const refused = ['4.6.9', '5.1', '5.1.0', '6', '4'];
  for (const version of accepted) t.ok(satisfies(version, '>=4.7 <5.1'), version);
  for (const version of refused) t.notOk(satisfies(version, '>=4.7 <5.1'), version);
});

t.test('places compare as numbers, and missing ones are zero', async (t) => {
  t.ok(satisfies('15.18', '>15.9'));
  t.ok(satisfies('15', '=15.0.0'));
  t.ok(satisfies('1.40.0', '<=1.40'));
  t.notOk(satisfies('15.0.1', '<=15'));
});

t.test('only the leading numbers of a version count', async (t) => {
  t.ok(satisfies('16beta1', '>=16'));
  t.ok(satisfies('4.7.3-2+deb12u1', '=4.7.3'));
});

t.test('a star accepts anything, a range nothing without a number', async (t) => {
  t.ok(satisfies('unversioned', '*'));
  t.notOk(satisfies('unversioned', '>=0'));
});

t.test('a malformed range is an error that names the wrong word', async (t) => {
  for (const range of ['', '^4.7', '>=', '>=4.x', '>= 4', '* <5']) {
    t.throws(() => parseRange(range), { message: /version range ".*": ".*" is not one of/ }, `"${range}"`);
  }
});
