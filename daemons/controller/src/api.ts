// The controller's HTTP API for operators: status, plan, switchover, failover, events, metrics. A bearer token guards all but
// the metrics and the health check; errors are RFC 9457 problems.

import { createHash, timingSafeEqual } from 'node:crypto';
import { Hono } from 'hono';
import type { Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { streamSSE } from 'hono/streaming';
import { z } from 'zod';
import { regionId } from '@continuum/core';
import type { ControllerEvent, ControllerState, Now } from '@continuum/core';
import type { AuditEntry } from '@continuum/runtime';
import { planSwitchover, statusOf } from './status.ts';
import type { Status } from './status.ts';

const BODY_BYTES_MAX = 16_384;
/** Followers of the event stream; one more is refused. */
const STREAMS_MAX = 32;
const KEEP_ALIVE_MS = 10_000;
/** Entries that a follower has not taken yet; one that is further behind is left. */
const BEHIND_MAX = 2_000;

const switchoverRequest = z.strictObject({
  to: z.string('name the region that is to take over').min(1).max(31),
  dryRun: z.boolean().default(false),
});
const failoverRequest = z.strictObject({
  /** Take over although this region is not in the in-sync set, or its lag is unknown. */
  force: z.boolean().default(false),
  reason: z.string('say why').min(3, 'say why').max(300).optional(),
  estimatedLoss: z.string('say what will be lost').min(1).max(300).optional(),
  /** Says what would be asked for, and what it would cost as far as anybody measured; asks for nothing. */
  dryRun: z.boolean().default(false),
});

export type FailoverAnswer = {
  readonly preconditions: Status['takeover'];
  readonly measuredLoss: string | null;
};

export type ApiOptions = {
  readonly token: string;
  readonly state: () => ControllerState;
  readonly now: () => Now;
  readonly post: (event: ControllerEvent) => void;
  readonly newId: () => string;
  readonly recent: () => readonly AuditEntry[];
  readonly follow: (listener: (entry: AuditEntry) => void) => () => void;
  readonly metrics: () => Promise<string>;
};

export function createApi(options: ApiOptions): Hono {
  const app = new Hono();
  const expected = digest(options.token);
  app.get('/healthz', (context) => context.text('ok\n'));
  app.get('/metrics', async (context) => context.text(await options.metrics()));
  app.use('/v1/*', bodyLimit({ maxSize: BODY_BYTES_MAX, onError: (context) => problem(context, 413, 'CTM_API_BODY_TOO_LARGE', `use at most ${BODY_BYTES_MAX} bytes`) }));
  app.use('/v1/*', async (context, next) => {
    const given = /^Bearer (.+)$/.exec(context.req.header('authorization') ?? '')?.[1] ?? '';
    if (timingSafeEqual(digest(given), expected)) return next();
    return problem(context, 401, 'CTM_API_UNAUTHORIZED', 'send "authorization: Bearer <token>" with the token of local.api.tokenFile');
  });
  app.get('/v1/status', (context) => context.json(statusOf(options.state(), options.now())));
  app.post('/v1/switchover', async (context) => switchover(context, options));
  app.delete('/v1/switchover', (context) => {
    options.post({ kind: 'operator-cancelled' });
    return context.json({ accepted: true }, 202);
  });
  app.post('/v1/failover', async (context) => failover(context, options));
  app.get('/v1/events', (context) => events(context, options));
  app.notFound((context) => problem(context, 404, 'CTM_API_NOT_FOUND', `${context.req.method} ${context.req.path} is not an operation of this API`));
  app.onError((error, context) => problem(context, 500, 'CTM_API_INTERNAL', error.name));
  return app;
}

async function switchover(context: Context, options: ApiOptions): Promise<Response> {
  const body = await readBody(context, switchoverRequest);
  if (!body.ok) return body.response;
  const { to, dryRun } = body.value;
  const now = options.now();
  const plan = planSwitchover(options.state(), to, now);
  if (dryRun) return context.json(plan);
  if (!plan.possible) {
    const failing = plan.preconditions.filter((one) => !one.ok);
    const detail = failing.map((one) => `${one.name}: ${one.value}, needs ${one.limit}`).join('; ');
    return problem(context, 409, 'CTM_SWITCHOVER_REFUSED', detail, { preconditions: plan.preconditions });
  }
  const id = options.newId();
  options.post({ kind: 'operator-asked', word: { kind: 'switchover', id, to: regionId(to), atMs: now.monoMs } });
  return context.json({ id, plan }, 202);
}

async function failover(context: Context, options: ApiOptions): Promise<Response> {
  const body = await readBody(context, failoverRequest);
  if (!body.ok) return body.response;
  const { force, reason, estimatedLoss, dryRun } = body.value;
  if (force && (reason === undefined || estimatedLoss === undefined)) {
    return problem(context, 400, 'CTM_API_INVALID', 'force needs reason and estimatedLoss: both are recorded with the grant');
  }
  const now = options.now();
  const before = statusOf(options.state(), now);
  if (before.actingEpoch > 0) return problem(context, 409, 'CTM_FAILOVER_REFUSED', `region ${before.region} holds the lease already`);
  if (before.witnessProblem !== null) {
    const detail = `the witness does not answer (${before.witnessProblem}): nobody but the witness grants the lease, forced or not. Bring it or the way to it back, then ask again`;
    return problem(context, 409, 'CTM_FAILOVER_REFUSED', detail, { preconditions: before.takeover });
  }
  const answer: FailoverAnswer = { preconditions: before.takeover, measuredLoss: before.replication.forcedLoss };
  if (dryRun) return context.json(answer);
  const given = force && reason !== undefined && estimatedLoss !== undefined ? { reason, estimatedLoss } : null;
  options.post({ kind: 'operator-asked', word: { kind: 'takeover', force: given, atMs: now.monoMs } });
  return context.json({ accepted: true, ...answer }, 202);
}

let streams = 0;

function events(context: Context, options: ApiOptions): Response | Promise<Response> {
  if (streams >= STREAMS_MAX) return problem(context, 503, 'CTM_API_BUSY', `${STREAMS_MAX} followers already`);
  streams += 1;
  return streamSSE(context, async (stream) => {
    const waiting: AuditEntry[] = [];
    let wake = Promise.withResolvers<void>();
    const unfollow = options.follow((entry) => {
      if (waiting.length >= BEHIND_MAX) return stream.abort();
      waiting.push(entry);
      wake.resolve();
    });
    waiting.push(...options.recent());
    stream.onAbort(() => wake.resolve());
    try {
      while (!stream.aborted && !stream.closed) {
        const entry = waiting.shift();
        if (entry !== undefined) {
          await stream.writeSSE({ id: String(entry.seq), event: entry.event, data: JSON.stringify(entry) });
          continue;
        }
        wake = Promise.withResolvers<void>();
        const quiet = setTimeout(wake.resolve, KEEP_ALIVE_MS);
        await wake.promise;
        clearTimeout(quiet);
        if (waiting.length === 0 && !stream.aborted) await stream.writeSSE({ event: 'keep-alive', data: '' });
      }
    } finally {
      unfollow();
      streams -= 1;
    }
  });
}

type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly response: Response };

async function readBody<T>(context: Context, schema: z.ZodType<T>): Promise<Read<T>> {
  const text = await context.req.text();
  let raw: unknown;
  try {
    raw = text === '' ? {} : JSON.parse(text);
  } catch {
    return { ok: false, response: problem(context, 400, 'CTM_API_INVALID', 'the body is not JSON') };
  }
  const parsed = schema.safeParse(raw);
  if (parsed.success) return { ok: true, value: parsed.data };
  const fields = parsed.error.issues.map((issue) => ({ path: issue.path.join('.'), fix: issue.message }));
  const detail = fields.map((field) => `${field.path === '' ? '(body)' : field.path}: ${field.fix}`).join('; ');
  return { ok: false, response: problem(context, 400, 'CTM_API_INVALID', detail, { fields }) };
}

function problem(context: Context, status: 400 | 401 | 404 | 409 | 413 | 500 | 503, code: string, detail: string, more: object = {}): Response {
  return context.body(JSON.stringify({ type: 'about:blank', title: code, status, code, detail, ...more }), status, {
    'content-type': 'application/problem+json',
  });
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
