// Other probers that share the clusters: each tells which clusters it watches and of which it has a verdict. Nothing is handed
// over: who loses a cluster goes on watching it until its new owner knows as much, so that no age has a hole.

import type { MonoMs } from '@continuum/core';
import { ownerOf } from '@continuum/core/replication/index';
import type { ProberConfig } from './config.ts';

export type Peers = {
  readonly self: string | null;
  /** Whether this prober should watch it now; `watching`: what it knows of it already, null when it does not watch it. */
  readonly mine: (cluster: string, watching: Knowing | null) => boolean;
  /** Where to ask about a cluster that is watched elsewhere. */
  readonly ownerUrl: (cluster: string) => string | null;
  readonly living: () => readonly string[];
  readonly close: () => void;
};

/** A watcher, for whoever may take its place. */
export type Knowing = { readonly knows: () => boolean };

const POLL_MS = 1_000;
const TIMEOUT_MS = 800;
/** A peer that was not heard for so long is gone. */
const GONE_MS = 3_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

const NAMES_MAX = 10_000;

type Said = { readonly watched: ReadonlySet<string>; readonly known: ReadonlySet<string> };
type Heard = Said & { readonly atMs: MonoMs };

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
      const said = readAnswer(await body.json(), name);
      if (statusCode === 200 && said !== null) heard.set(name, { atMs: now(), ...said });
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
      if (!ready) return watching !== null;
      const owner = ownerOf(cluster, living());
      if (owner === self || owner === null) return true;
      const said = heard.get(owner);
      if (watching === null || said?.known.has(cluster) === true) return false;
      // Of servers that nobody can measure, no owner ever has a verdict.
      return watching.knows() || said?.watched.has(cluster) !== true;
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
function readAnswer(answered: unknown, peer: string): Said | null {
  const { self, watched, known } = (answered ?? {}) as { readonly self?: unknown; readonly watched?: unknown; readonly known?: unknown };
  if (self !== peer || !isNames(watched) || !isNames(known)) return null;
  return { watched: new Set(watched), known: new Set(known) };
}

const isNames = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.length <= NAMES_MAX && value.every((one) => typeof one === 'string');
