// Three thresholds: slow up, patient while up, and down at once when there is no doubt.

import fc from 'fast-check';
import t from 'tap';
import { debounce, DEBOUNCED_DOWN } from './debounce.ts';
import type { Debounced } from './debounce.ts';

const THRESHOLDS = { up: 3, ok: 4, down: 2 };
const after = (looks: string, from: Debounced = DEBOUNCED_DOWN): boolean =>
  [...looks].reduce((state, look) => debounce(state, look === '+' ? 'good' : look === '-' ? 'bad' : 'certain', THRESHOLDS), from).up;

t.test('up after three good looks in a row', async (t) => {
  t.equal(after('++'), false);
  t.equal(after('+++'), true);
  t.equal(after('++-+'), false, 'a bad one starts the row again');
});

t.test('one bad look is borne, a second one not; four good ones forgive the first', async (t) => {
  t.equal(after('+++-'), true);
  t.equal(after('+++-+'), true, 'a good look takes nothing down');
  t.equal(after('+++--'), false);
  t.equal(after('+++-+-'), false, 'not forgiven yet');
  t.equal(after('+++-++++-'), true, 'forgiven');
});

t.test('beyond doubt goes down at once, and comes up no faster', async (t) => {
  t.equal(after('++++++!'), false);
  t.equal(after('+++!++'), false);
  t.equal(after('+++!+++'), true);
});

t.test('never up unless the last looks hold three good ones in a row since the last certain one', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('+', '-', '!'), maxLength: 60 }), (looks) => {
      const since = looks.slice(looks.lastIndexOf('!') + 1);
      return !after(looks) || since.includes('+++');
    }),
  );
  t.pass();
});
