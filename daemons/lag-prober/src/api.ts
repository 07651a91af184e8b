// What the prober tells over HTTP. Every answer says how old each figure is at the moment of answering, so nothing in it may
// be cached; the entity tag changes with every look and serves the long poll.

import { createHash, timingSafeEqual } from 'node:crypto';
import { Hono } from 'hono';
import type { Context } from 'hono';
import type { MonoMs } from '@continuum/core';
import type { Fleet } from './fleet.ts';
import type { Peers } from './peers.ts';
import type { Watcher } from './watcher.ts';

export type ApiOptions = {
  readonly fleet: Fleet;
  readonly peers: () => Peers;
  readonly token: () => string | null;
  /** Of this run: a tag of an earlier run must not match. */
  readonly runId: string;
  readonly now: () => MonoMs;
  readonly metrics: () => Promise<string>;
};

const WAIT_S_MAX = 60;
const WAITING_MAX = 2_000;

export function createApi(options: ApiOptions): Hono {
  const { fleet, now } = options;
  const api = new Hono();
  api.get('/healthz', (context) => context.text('ok\n'));
  api.get('/metrics', async (context) => context.text(await options.metrics(), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }));
  api.use('/v1/*', async (context, next) => {
    const token = options.token();
    if (token === null || bearerIs(context.req.header('authorization'), token)) return next();
    return problem(context, 401, 'CTM_API_UNAUTHORIZED', 'send the bearer token');
  });
  api.get('/v1/peer', (context) => {
    const nowMs = now();
    const known = [...fleet.all()].filter((watcher) => isKnown(watcher, nowMs)).map((watcher) => watcher.name);
    return context.json({ self: options.peers().self, known });
  });
  api.get('/v1/replication', (context) => {
    const nowMs = now();
    const clusters = [...fleet.all()].map((watcher) => {
      const { primary, standbys } = watcher.report(nowMs);
      return { cluster: watcher.name, primary: primary?.name ?? null, standbys: standbys.map(({ name, verdict, lag }) => ({ name, verdict, lag })) };
    });
    return context.json({ clusters });
  });
  api.get('/v1/replication/:cluster/history', (context) => {
    const watcher = fleet.get(context.req.param('cluster'));
    return watcher === undefined ? elsewhere(context, options) : context.json({ cluster: watcher.name, standbys: watcher.history(now()) });
  });
  api.get('/v1/replication/:cluster', (context) => replication(context, options));
  api.notFound((context) => problem(context, 404, 'CTM_API_NOT_FOUND', 'see daemons/lag-prober/README.md for what there is'));
  return api;
}

/** A verdict was reached on every standby: whoever watched it before may stop. */
function isKnown(watcher: Watcher, nowMs: MonoMs): boolean {
  const { standbys } = watcher.report(nowMs);
  return standbys.length > 0 && standbys.every(({ verdict }) => verdict.kind !== 'unknown' || verdict.reason !== 'never-measured');
}

async function replication(context: Context, options: ApiOptions): Promise<Response> {
  const { fleet, runId, now } = options;
  const cluster = context.req.param('cluster') ?? '';
  const wait = context.req.query('wait');
  const waitS = wait === undefined ? 0 : Number(wait);
  if (!(waitS >= 0 && waitS <= WAIT_S_MAX)) return problem(context, 400, 'CTM_API_WAIT', `wait is "${wait}": write seconds from 0 to ${WAIT_S_MAX}`);
  const known = context.req.header('if-none-match');
  const before = fleet.get(cluster);
  if (before === undefined) return elsewhere(context, options);
  if (waitS > 0 && known === tagOf(runId, before)) {
    if (fleet.waiting() >= WAITING_MAX) return problem(context, 503, 'CTM_API_BUSY', `${WAITING_MAX} requests wait already: ask without waiting`);
    const signal = AbortSignal.any([context.req.raw.signal, AbortSignal.timeout(waitS * 1_000)]);
    await fleet.changed(cluster, before.version(), signal);
  }
  const watcher = fleet.get(cluster);
  if (watcher === undefined) return elsewhere(context, options);
  const tag = tagOf(runId, watcher);
  const headers = { etag: tag, 'cache-control': 'no-store' };
  if (known === tag) return context.body(null, 304, headers);
  return context.json(watcher.report(now()), 200, headers);
}

const tagOf = (runId: string, watcher: Watcher): string => `"${runId}-${watcher.hash}-${watcher.version()}"`;

function elsewhere(context: Context, { fleet, peers }: ApiOptions): Response {
  const cluster = context.req.param('cluster') ?? '';
  if (!fleet.configured(cluster)) return problem(context, 404, 'CTM_API_CLUSTER_UNKNOWN', `no cluster "${cluster}" is configured`);
  const url = peers().ownerUrl(cluster);
  if (url === null) return problem(context, 503, 'CTM_API_NOT_WATCHED', `nobody watches "${cluster}" yet`);
  return context.redirect(new URL(context.req.path, url).href, 307);
}

function problem(context: Context, status: 400 | 401 | 404 | 503, code: string, detail: string): Response {
  return context.json({ type: 'about:blank', status, code, detail }, status, { 'content-type': 'application/problem+json' });
}

function bearerIs(header: string | undefined, token: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(header ?? ''), digest(`Bearer ${token}`));
}
