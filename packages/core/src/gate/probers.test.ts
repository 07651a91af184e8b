// Whose probes may wait.

import { test } from 'tap';
import { monoMs } from '../types.ts';
import { NEW_PROBER, admitProbe, probeAnswered, probeGivenUp } from './probers.ts';

test('a sender waits once it was answered, and no longer when it was silent for half a minute', async (t) => {
  t.equal(admitProbe(NEW_PROBER, monoMs(0)).mayWait, false, 'nobody knows it');
  const known = probeAnswered(NEW_PROBER, monoMs(1_000));
  t.equal(admitProbe(known, monoMs(1_000)).mayWait, true);
  t.equal(admitProbe(known, monoMs(30_999)).mayWait, true);
  t.equal(admitProbe(known, monoMs(31_000)).mayWait, false);
});

test('for each probe that was given up the next one is answered at once, and the one after it waits', async (t) => {
  const now = monoMs(2_000);
  let prober = probeGivenUp(probeGivenUp(probeAnswered(NEW_PROBER, now)));
  const waits = [0, 1, 2].map(() => {
    const admitted = admitProbe(prober, now);
    prober = probeAnswered(admitted.prober, now);
    return admitted.mayWait;
  });
  t.same(waits, [false, false, true]);
});

test('who gives up probe after probe owes no more than a few', async (t) => {
  const now = monoMs(2_000);
  let prober = probeAnswered(NEW_PROBER, now);
  for (let count = 0; count < 100; count++) prober = probeGivenUp(prober);
  for (let count = 0; count < 8; count++) ({ prober } = admitProbe(prober, now));
  t.equal(admitProbe(prober, now).mayWait, true);
});
