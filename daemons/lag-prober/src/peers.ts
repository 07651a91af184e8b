// Other probers that share the clusters: each tells which clusters it watches and knows a verdict of. Nothing is handed over:
// who loses a cluster goes on watching it until its new owner knows as much, so that no age has a hole.

import type { MonoMs } from '@continuum/core';
import { ownerOf } from '@continuum/core/replication/index';
import type { ProberConfig } from './config.ts';

export type Peers = {
  readonly self: string | null;
  /** Whether this prober should watch it now. */
  readonly mine: (cluster: string, watching: boolean) => boolean;
  /** Where to ask about a cluster that is watched elsewhere. */
  readonly ownerUrl: (cluster: string) => string | null;
  readonly living: () => readonly string[];
  readonly close: () => void;
};

const POLL_MS = 1_000;
const TIMEOUT_MS = 800;
/** A peer that was not heard for so long is gone. */
const GONE_MS = 3_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

const KNOWN_MAX = 10_000;

type Heard = { readonly atMs: MonoMs; readonly known: ReadonlySet<string> };

export function createPeers(config: ProberConfig['peers'], token: () => string | null, now: () => MonoMs, onChange: () => void): Peers {
  if (config === undefined) return { self: null, mine: () => true, ownerUrl: () => null, living: () => [], close: () => undefined };
  const { self, members } = config;
  const heard = new Map<string, Heard>();
  // Loaded for who has peers: it is a megabyte of source.
  const client = import('undici').then(({ Agent, request }) => ({ request, agent: new Agent({ connections: 1, maxResponseSize: ANSWER_BYTES_MAX }) }));
  const others = members.filter((one) => one.name !== self);

  const living = (): string[] => [self, ...others.map((one) => one.name).filter((name) => now() - (heard.get(name)?.atMs ?? Number.NEGATIVE_INFINITY) < GONE_MS)];
  const poll = async (name: string, url: string): Promise<void> => {
    try {
      const bearer = token();
      const headers = bearer === null ? {} : { authorization: `Bearer ${bearer}` };
      const { request, agent } = await client;
      const { statusCode, body } = await request(new URL('/v1/peer', url), { dispatcher: agent, headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
      const known = readAnswer(await body.json(), name);
      if (statusCode === 200 && known !== null) heard.set(name, { atMs: now(), known });
    } catch (error) {
      // Not heard: that is all there is to say, and its silence is what counts.
      if (!(error instanceof Error)) throw error;
    }
  };
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const turn = async (): Promise<void> => {
    await Promise.all(others.map((one) => poll(one.name, one.url)));
    if (stopped) return;
    onChange();
    timer = setTimeout(() => void turn(), POLL_MS);
  };
  // The first round decides who is there: until it is over nothing is taken.
  let ready = false;
  const first = turn().then(() => {
    ready = true;
    if (!stopped) onChange();
  });
  void first;

  return {
    self,
    living,
    mine: (cluster, watching) => {
      if (!ready) return watching;
      const owner = ownerOf(cluster, living());
      if (owner === self || owner === null) return true;
      return watching && heard.get(owner)?.known.has(cluster) !== true;
    },
    ownerUrl: (cluster) => members.find((one) => one.name === ownerOf(cluster, living()))?.url ?? null,
    close: () => {
      stopped = true;
      clearTimeout(timer);
      void client.then(({ agent }) => agent.destroy()).catch(() => undefined);
    },
  };
}

/** By hand, as everything that a running prober reads: a schema is a library that stays. Null: not what this peer says. */
function readAnswer(answered: unknown, peer: string): ReadonlySet<string> | null {
  const { self, known } = (answered ?? {}) as { readonly self?: unknown; readonly known?: unknown };
  if (self !== peer || !Array.isArray(known) || known.length > KNOWN_MAX) return null;
  return known.every((one) => typeof one === 'string') ? new Set<string>(known) : null;
}
