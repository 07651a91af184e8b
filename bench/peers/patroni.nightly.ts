// That the peers of the failover bench still run: one kill and one switchover each. Their figures are not judged here.

import t from 'tap';
import type { Test } from 'tap';
import { stopAll, runFolder } from '../../test/rig/process.ts';
import type { PeerResult } from './measure-peer.ts';
import { measurePatroni } from './patroni.ts';
import { measurePgAutoFailover } from './pg-auto-failover.ts';

const say = (line: string): void => t.comment(line);
const shortest = { ttlSeconds: 5, loopWaitSeconds: 1, retryTimeoutSeconds: 2, synchronous: true, say };

t.teardown(stopAll);

t.test('Patroni takes over after a kill, switches over, and loses no acknowledged write', async (t) => {
  sound(t, await measurePatroni({ ...shortest, release: '3.1.2', folder: runFolder('peer'), kills: 1, switchovers: 1 }));
});

t.test('timings that Patroni would silently replace are refused in its own words', async (t) => {
  const result = await measurePatroni({ ...shortest, folder: runFolder('peer'), kills: 1, switchovers: 0 });
  t.match(result, { available: false, reason: /ttl 5.*can't be smaller/ });
});

t.test('pg_auto_failover takes over after a kill, switches over, and loses no acknowledged write', async (t) => {
  sound(t, await measurePgAutoFailover({ folder: runFolder('peer'), kills: 1, switchovers: 1, timings: 'fast', say }));
});

function sound(t: Test, result: PeerResult): void {
  if (!result.available) {
    t.fail(result.reason);
    return;
  }
  t.equal(result.rtoMs.length, 1);
  t.ok(result.rtoMs.every((rtoMs) => rtoMs > 0));
  t.equal(result.switchoverGapMs.length, 1);
  t.equal(result.switchoverFailedRequests.length, 1);
  t.ok(result.acknowledged > 0);
  t.equal(result.lost, 0);
  t.equal(result.duplicated, 0);
}
