// What the prober tells over HTTP. Every answer says how old each figure is at the moment of answering, so nothing in it may
// be cached; the entity tag changes with every look and serves the long poll.
//
// A handful of GETs, on Node's own server: a framework would bring Node's `fetch` with it, eight megabytes in a process that
// counts them.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { MonoMs } from '@continuum/core';
import type { Fleet } from './fleet.ts';
import { inPortions, LongText } from './long-text.ts';
import type { Peers } from './peers.ts';
import type { Watcher } from './watcher.ts';

export type ApiOptions = {
  readonly fleet: Fleet;
  readonly peers: () => Peers;
  readonly token: () => string | null;
  /** Of this run: a tag of an earlier run must not match. */
  readonly runId: string;
  readonly now: () => MonoMs;
  readonly metrics: () => Promise<readonly Buffer[]>;
  /** Who takes nothing of a long answer for so long is gone. */
  readonly silentMs?: number;
  /** An answer that cannot be made is a programming error. */
  readonly onCrash: (error: unknown) => void;
};

export type Api = (request: IncomingMessage, response: ServerResponse) => void;

type Answer = { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string | readonly Buffer[] };

const WAIT_S_MAX = 60;
const WAITING_MAX = 2_000;
/** Answers about all clusters, a megabyte each, that are made or being taken at once. */
const LONG_MAX = 8;
const SILENT_MS = 30_000;
const LONG_PATHS = ['/metrics', '/v1/replication'];

export function createApi(options: ApiOptions): Api {
  let long = 0;
  return (request, response) => {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const url = addressOf(request);
    const isLong = url !== null && LONG_PATHS.includes(url.pathname);
    if (isLong && long >= LONG_MAX) return send(request, response, problem(503, 'CTM_API_BUSY', `${LONG_MAX} such answers are under way: ask again`));
    if (isLong) {
      long++;
      response.once('close', () => long--);
    }
    answer(request, url, options, gone.signal).then((found) => {
      if (isLong) response.setTimeout(options.silentMs ?? SILENT_MS, () => response.destroy());
      send(request, response, found);
    }, options.onCrash);
  };
}

function send({ method }: IncomingMessage, response: ServerResponse, { status, headers = {}, body = '' }: Answer): void {
  if (response.destroyed) return;
  const parts = typeof body === 'string' ? [Buffer.from(body)] : body;
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  response.writeHead(status, { ...headers, ...(status === 304 ? {} : { 'content-length': bytes }) });
  if (method !== 'HEAD' && bytes > 0) for (const part of parts) response.write(part);
  response.end();
}

async function answer(request: IncomingMessage, url: URL | null, options: ApiOptions, gone: AbortSignal): Promise<Answer> {
  if (url === null) return problem(400, 'CTM_API_ADDRESS', 'the address cannot be read: send a path');
  if (request.method !== 'GET' && request.method !== 'HEAD') return problem(405, 'CTM_API_METHOD', `${request.method ?? ''} changes nothing here: use GET`, { allow: 'GET, HEAD' });
  const path = url.pathname;
  if (path === '/healthz') return { status: 200, headers: { 'content-type': 'text/plain; charset=utf-8' }, body: 'ok\n' };
  if (path === '/metrics') return { status: 200, headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }, body: await options.metrics() };
  if (path.startsWith('/v1/')) {
    const token = options.token();
    if (token !== null && !bearerIs(request.headers.authorization, token)) return problem(401, 'CTM_API_UNAUTHORIZED', 'send the bearer token');
  }
  const { fleet, now } = options;
  if (path === '/v1/peer') return json(200, peerAnswer(options));
  if (path === '/v1/replication') return { status: 200, headers: { 'content-type': 'application/json' }, body: await inShort(fleet, now) };
  const [, cluster, history] = /^\/v1\/replication\/([^/]+)(\/history)?$/.exec(path) ?? [];
  if (cluster === undefined) return problem(404, 'CTM_API_NOT_FOUND', 'see daemons/lag-prober/README.md for what there is');
  if (history === undefined) return replication(request, cluster, url, options, gone);
  const watcher = fleet.get(cluster);
  return watcher === undefined ? elsewhere(cluster, path, options) : json(200, { cluster, standbys: watcher.history(now()) });
}

/** Names of clusters need no escaping, so none is undone. */
function addressOf({ url = '/' }: IncomingMessage): URL | null {
  return URL.parse(url.startsWith('/') ? `http://prober${url}` : url);
}

function peerAnswer({ fleet, peers, now }: ApiOptions): object {
  const [all, nowMs] = [[...fleet.all()], now()];
  const names = (of: readonly Watcher[]): string[] => of.map((watcher) => watcher.name);
  return { self: peers().self, watched: names(all), known: names(all.filter((watcher) => watcher.knows(nowMs))) };
}

async function inShort(fleet: Fleet, now: () => MonoMs): Promise<readonly Buffer[]> {
  const text = new LongText();
  text.add('{"clusters":[');
  let isFirst = true;
  await inPortions(fleet.all(), (watcher) => {
    const { primary, standbys } = watcher.report(now());
    const one = { cluster: watcher.name, primary: primary?.name ?? null, standbys: standbys.map(({ name, verdict, lag }) => ({ name, verdict, lag })) };
    text.add(`${isFirst ? '' : ','}${JSON.stringify(one)}`);
    isFirst = false;
  });
  text.add(']}');
  return text.parts();
}

async function replication(request: IncomingMessage, cluster: string, url: URL, options: ApiOptions, gone: AbortSignal): Promise<Answer> {
  const { fleet, runId, now } = options;
  const wait = url.searchParams.get('wait');
  const waitS = wait === null ? 0 : Number(wait);
  if (!(waitS >= 0 && waitS <= WAIT_S_MAX)) return problem(400, 'CTM_API_WAIT', `wait is "${wait}": write seconds from 0 to ${WAIT_S_MAX}`);
  const known = request.headers['if-none-match'];
  const before = fleet.get(cluster);
  if (before === undefined) return elsewhere(cluster, url.pathname, options);
  if (waitS > 0 && known === tagOf(runId, before)) {
    if (fleet.waiting() >= WAITING_MAX) return problem(503, 'CTM_API_BUSY', `${WAITING_MAX} requests wait already: ask without waiting`);
    await fleet.changed(cluster, before.version(), AbortSignal.any([gone, AbortSignal.timeout(waitS * 1_000)]));
  }
  const watcher = fleet.get(cluster);
  if (watcher === undefined) return elsewhere(cluster, url.pathname, options);
  const tag = tagOf(runId, watcher);
  const headers = { etag: tag, 'cache-control': 'no-store' };
  return known === tag ? { status: 304, headers } : json(200, watcher.report(now()), headers);
}

const tagOf = (runId: string, watcher: Watcher): string => `"${runId}-${watcher.hash}-${watcher.version()}"`;

function elsewhere(cluster: string, path: string, { fleet, peers }: ApiOptions): Answer {
  if (!fleet.configured(cluster)) return problem(404, 'CTM_API_CLUSTER_UNKNOWN', `no cluster "${cluster}" is configured`);
  const url = peers().ownerUrl(cluster);
  if (url === null) return problem(503, 'CTM_API_NOT_WATCHED', `nobody watches "${cluster}" yet`);
  return { status: 307, headers: { location: new URL(path, url).href } };
}

const json = (status: number, body: object, headers: Readonly<Record<string, string>> = {}): Answer => ({ status, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) });

function problem(status: 400 | 401 | 404 | 405 | 503, code: string, detail: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return json(status, { type: 'about:blank', status, code, detail }, { 'content-type': 'application/problem+json', ...headers });
}

function bearerIs(header: string | undefined, token: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(header ?? ''), digest(`Bearer ${token}`));
}
