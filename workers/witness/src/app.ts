// The Worker's edge: bounds, signature, schema and region are checked here, before the lease is touched; every answer
// leaves signed and bound to the request that it answers. No lease state and no decision lives here.

import { Hono } from 'hono';
import type { Context, MiddlewareHandler } from 'hono';
import {
  COMMAND_BYTES_MAX,
  NO_BODY,
  InvalidFieldsError,
  describeFields,
  leaseCommand,
  parseWire,
  signReply,
  verifyRequest,
} from '@continuum/wire';
import type { Caller, FieldProblem, SignedRequest } from '@continuum/wire';
import type { LeaseCommand } from '@continuum/core';
import { configOf } from './config.ts';
import type { Config, Env } from './config.ts';
import { WATCH_HEADERS } from './lease-object.ts';
import type { Answer } from './lease-object.ts';
import { SIGNATURE_PROBLEMS, toProblem } from './problems.ts';
import type { ProblemCode } from './problems.ts';

type Vars = { config: Config; caller: Caller; body: Uint8Array<ArrayBuffer> };
type Bindings = { Bindings: Env; Variables: Vars };
type Ctx = Context<Bindings>;

const PROBLEM_TYPE = 'application/problem+json';

export const app = new Hono<Bindings>();

app.get('/healthz', async (c) => {
  await configOf(c.env);
  return c.json({ status: 'ok' });
});

/** Around every route of the protocol: nothing unsigned gets in, nothing unsigned gets out. */
const signed: MiddlewareHandler<Bindings> = async (c, next) => {
  const config = await configOf(c.env);
  c.set('config', config);
  const body = await readBody(c.req.raw);
  const request = toSigned(c.req.raw, body ?? NO_BODY);
  if (body === null) {
    c.res = problem('CTM_WITNESS_BODY_TOO_LARGE', `send at most ${COMMAND_BYTES_MAX} bytes`);
  } else {
    const clock = { nowSeconds: Date.now() / 1_000, windowSeconds: config.signatureWindowSeconds };
    const caller = await verifyRequest(config.keyRing, request, clock);
    if (caller.ok) {
      c.set('caller', caller.value);
      c.set('body', body);
      await next();
    } else {
      c.res = problem(SIGNATURE_PROBLEMS[caller.problem], caller.detail);
    }
  }
  if (c.res.status !== 101) c.res = await sealed(config, c.res, request);
  return undefined;
};
app.use('/v1/*', signed);

app.post('/v1/leases/:name/commands', async (c) => {
  const member = memberOf(c);
  if (member instanceof Response) return member;
  const command = parseCommand(c.get('body'));
  if (command instanceof Response) return command;
  const foreign = outsider(command, member.regions, member.caller.region);
  if (foreign !== null) return problem('CTM_WITNESS_REGION_FORBIDDEN', foreign);
  const call = { name: member.name, command: JSON.stringify(command) };
  return answer(await ask(() => lease(c, member.name).execute(call)));
});

app.get('/v1/leases/:name', async (c) => {
  const member = memberOf(c);
  if (member instanceof Response) return member;
  const call = { name: member.name, region: member.caller.region };
  return answer(await ask(() => lease(c, member.name).read(call)));
});

app.get('/v1/leases/:name/watch', async (c) => {
  const member = memberOf(c);
  if (member instanceof Response) return member;
  if (c.req.header('upgrade')?.toLowerCase() !== 'websocket') {
    return problem('CTM_WITNESS_UPGRADE_REQUIRED', 'open this route as a WebSocket');
  }
  const headers = new Headers({
    upgrade: 'websocket',
    [WATCH_HEADERS.lease]: member.name,
    [WATCH_HEADERS.region]: member.caller.region,
    [WATCH_HEADERS.nonce]: member.caller.nonce,
  });
  return lease(c, member.name).fetch(new Request(c.req.raw.url, { headers }));
});

app.notFound((c) => problem('CTM_WITNESS_ROUTE_UNKNOWN', `${c.req.method} ${c.req.path}`));

app.onError((error) => {
  const known = error instanceof InvalidFieldsError;
  console.error(JSON.stringify({ level: 'error', message: error.message, name: error.name, stack: error.stack }));
  if (known) return problem('CTM_WITNESS_CONFIG_INVALID', error.message, error.fields);
  return problem('CTM_WITNESS_INTERNAL', 'the log of the witness has the reason');
});

type Member = { readonly name: string; readonly regions: ReadonlySet<string>; readonly caller: Caller };

/** The lease and its regions, when it exists and the caller's region is one of them. */
function memberOf(c: Ctx): Member | Response {
  const name = c.req.param('name') ?? '';
  const caller = c.get('caller');
  const regions = c.get('config').leases.get(name);
  if (regions === undefined) {
    return problem('CTM_WITNESS_LEASE_UNKNOWN', `lease ${name.slice(0, 80)}: add it to LEASES, or correct the name`);
  }
  if (!regions.has(caller.region)) {
    return problem('CTM_WITNESS_REGION_FORBIDDEN', `region ${caller.region} takes no part in lease ${name}`);
  }
  return { name, regions, caller };
}

function parseCommand(body: Uint8Array<ArrayBuffer>): LeaseCommand | Response {
  let input: unknown;
  try {
    input = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(body));
  } catch {
    return problem('CTM_WITNESS_BODY_INVALID', 'the body is not JSON in UTF-8');
  }
  const parsed = parseWire(leaseCommand, input);
  if (parsed.ok) return parsed.value;
  return problem('CTM_WITNESS_BODY_INVALID', describeFields(parsed.fields), parsed.fields);
}

/** Why this command may not be sent by `caller`; null when it may. A lease never comes to name a region it does not have. */
function outsider(command: LeaseCommand, regions: ReadonlySet<string>, caller: string): string | null {
  if (command.region !== caller) return `the key is of region ${caller}, the command is of region ${command.region}`;
  const named: readonly string[] =
    command.kind === 'setInSync' ? command.inSync
    : command.kind === 'transfer' ? [command.to]
    : command.kind === 'requestSwitchover' ? [command.from, command.to]
    : [];
  const unknown = named.find((region) => !regions.has(region));
  return unknown === undefined ? null : `region ${unknown} takes no part in this lease`;
}

function lease(c: Ctx, name: string) {
  const { jurisdiction, locationHint } = c.get('config');
  const namespace = jurisdiction === null ? c.env.LEASE : c.env.LEASE.jurisdiction(jurisdiction);
  return namespace.get(namespace.idFromName(name), locationHint === null ? {} : { locationHint });
}

/** Not retried here: the object may have carried out the command. The controller repeats it under the same number. */
async function ask(call: () => Promise<Answer>): Promise<Answer> {
  try {
    return await call();
  } catch (error) {
    const { retryable, overloaded, remote } = error as { retryable?: boolean; overloaded?: boolean; remote?: boolean };
    console.error(JSON.stringify({ level: 'error', message: String(error), retryable, overloaded, remote }));
    const code = remote === true && retryable !== true ? 'CTM_WITNESS_INTERNAL' : 'CTM_WITNESS_UNAVAILABLE';
    const body = toProblem(code, 'whether the command was carried out is unknown; send the same one again');
    return { status: body.status, body: JSON.stringify(body) };
  }
}

function answer({ status, body }: Answer): Response {
  const type = status === 200 || status === 409 ? 'application/json' : PROBLEM_TYPE;
  return new Response(body, { status, headers: { 'content-type': type, 'cache-control': 'no-store' } });
}

function problem(code: ProblemCode, detail: string, fields?: readonly FieldProblem[]): Response {
  const body = toProblem(code, detail, fields);
  return answer({ status: body.status, body: JSON.stringify(body) });
}

function toSigned(request: Request, body: Uint8Array<ArrayBuffer>): SignedRequest {
  return { method: request.method, url: request.url, headers: [...request.headers], body };
}

async function sealed(config: Config, response: Response, request: SignedRequest): Promise<Response> {
  const body = new Uint8Array(await response.arrayBuffer());
  const reply = { status: response.status, headers: [], body };
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(await signReply(config.signingKey, reply, request))) headers.set(name, value);
  return new Response(body, { status: response.status, headers });
}

/** The whole body, or null when it is larger than any command. */
async function readBody(request: Request): Promise<Uint8Array<ArrayBuffer> | null> {
  if (request.body === null) return NO_BODY;
  const body = new Uint8Array(COMMAND_BYTES_MAX);
  let length = 0;
  for await (const chunk of request.body as ReadableStream<Uint8Array>) {
    if (length + chunk.byteLength > COMMAND_BYTES_MAX) return null;
    body.set(chunk, length);
    length += chunk.byteLength;
  }
  return body.slice(0, length);
}
