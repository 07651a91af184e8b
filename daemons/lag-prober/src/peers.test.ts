// What a prober makes of what its peers say, over real HTTP: who watches a cluster, and when it may be given up.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import { test } from 'tap';
import type { Test } from 'tap';
import type { MonoMs } from '@continuum/core';
import { ownerOf } from '@continuum/core/replication/index';
import { waitFor } from '../../../test/rig/process.ts';
import { createPeers } from './peers.ts';
import type { Peers } from './peers.ts';

const now = (): MonoMs => performance.now() as MonoMs;
/** One that `theirs` owns while it lives, and one that `mine` owns. */
const [THEIRS, MINE] = (['theirs', 'mine'] as const).map((owner) => ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].find((name) => ownerOf(name, ['mine', 'theirs']) === owner) ?? '');
const knowing = { knows: () => true };
const unsure = { knows: () => false };

/** Peers of `mine`, whose only peer answers what `says` returns. */
async function startPeers(t: Test, says: () => unknown): Promise<Peers> {
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    response.end(JSON.stringify(says()));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const members = [{ name: 'mine', url: 'http://127.0.0.1:9' }, { name: 'theirs', url }];
  let rounds = 0;
  const peers = createPeers({ self: 'mine', members }, () => null, now, () => void rounds++);
  t.teardown(peers.close);
  await waitFor('the first round', () => asked > 0 && rounds > 1);
  return peers;
}

test('what the owner has a verdict of is given up, and nothing else', async (t) => {
  let said: unknown = { self: 'theirs', watched: [], known: [] };
  const peers = await startPeers(t, () => said);
  t.same(peers.living(), ['mine', 'theirs']);
  t.equal(peers.mine(MINE ?? '', null), true, 'its own');
  t.equal(peers.mine(THEIRS ?? '', null), false, 'the owner lives: it will look');
  t.equal(peers.mine(THEIRS ?? '', knowing), true, 'the owner does not watch it yet');
  t.equal(peers.mine(THEIRS ?? '', unsure), true, 'the owner does not watch it yet');

  said = { self: 'theirs', watched: [THEIRS], known: [] };
  await waitFor('the owner to watch what this one knows nothing of', () => !peers.mine(THEIRS ?? '', unsure));
  t.equal(peers.mine(THEIRS ?? '', knowing), true, 'the owner looks, and has no verdict yet');

  said = { self: 'theirs', watched: [THEIRS], known: [THEIRS] };
  await waitFor('the owner to know', () => !peers.mine(THEIRS ?? '', knowing));
});

test('an answer that is not a peer is silence, and who is silent owns nothing', async (t) => {
  const wrong: readonly unknown[] = [
    null,
    [],
    { self: 'somebody', watched: [], known: [] },
    { self: 'theirs', known: [] },
    { self: 'theirs', watched: [], known: 'all' },
    { self: 'theirs', watched: [1], known: [] },
    { self: 'theirs', watched: [], known: Array.from({ length: 10_001 }, () => 'a') },
  ];
  for (const said of wrong) {
    const peers = await startPeers(t, () => said);
    t.same(peers.living(), ['mine'], JSON.stringify(said)?.slice(0, 60));
    t.equal(peers.mine(THEIRS ?? '', null), true);
  }
});
