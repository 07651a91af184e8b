// Envoy's external authorization over gRPC: turns a check into an arrival at the gate, and the verdict into a reply.

import { fileURLToPath } from 'node:url';
import { Server, ServerCredentials, loadPackageDefinition, status } from '@grpc/grpc-js';
import type { ServiceDefinition, ServerUnaryCall, UntypedServiceImplementation, sendUnaryData } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { readProbeWaitMs } from '@continuum/core';
import type { GateRefusal } from '@continuum/core';
import { ROUTE_HEADER, FORWARDED_HEADER, REFUSED_HEADER, readForwardedBy, wellKnownPath } from '@continuum/wire/gateway-headers';
import type { Arrival } from './gate-room.ts';
import type { FinalVerdict } from './waiting-room.ts';

/** A check carries the path and one header: anything near this is not Envoy with our settings. */
const MESSAGE_BYTES_MAX = 65_536;
/** Above Envoy's own cap per connection (1,024), so that Envoy opens another connection instead of failing requests. */
const STREAMS_MAX = 16_384;

const TITLES: Readonly<Record<GateRefusal, string>> = {
  CTM_GATE_FENCED: 'This region does not hold the lease',
  CTM_GATE_HOLD_EXPIRED: 'The switchover took longer than a request is held',
  CTM_GATE_HOLD_FULL: 'Too many requests wait for the switchover',
  CTM_GATE_LOOP: 'Another region forwarded this request, but this region does not hold the lease',
};

export type AuthorizationServer = {
  /** Stops taking checks, lets those under way finish, cuts what is left after `graceMs`. */
  readonly close: (graceMs: number) => Promise<void>;
};

export type AuthorizationServerOptions = {
  readonly host: string;
  readonly port: number;
  readonly leaseName: string;
  /** Returns what to call when the client gave up. */
  readonly onCheck: (arrival: Arrival) => () => void;
};

type CheckRequest = {
  readonly attributes: {
    readonly request: { readonly http: { readonly path: string; readonly headers: Readonly<Record<string, string>> } | null } | null;
  } | null;
};

type Header = { readonly header: { readonly key: string; readonly value: string } };
type CheckResponse = {
  readonly status: { readonly code: number };
  readonly ok_response?: { readonly headers: readonly Header[] };
  readonly denied_response?: {
    readonly status: { readonly code: number };
    readonly headers: readonly Header[];
    readonly body: string;
  };
};

/** Rejects when the address cannot be bound. */
export async function serveAuthorization(options: AuthorizationServerOptions): Promise<AuthorizationServer> {
  const server = new Server({
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_concurrent_streams': STREAMS_MAX,
    // Statistics that nobody reads, at a tenth of what a check costs.
    'grpc.enable_channelz': 0,
  });
  const implementation: UntypedServiceImplementation = {
    Check: (call: ServerUnaryCall<CheckRequest, CheckResponse>, reply: sendUnaryData<CheckResponse>) =>
      check(call, reply, options),
  };
  server.addService(authorizationService(), implementation);
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`${host}:${options.port}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return {
    close: (graceMs) =>
      new Promise<void>((resolve) => {
        const cut = setTimeout(() => server.forceShutdown(), graceMs);
        server.tryShutdown(() => {
          clearTimeout(cut);
          resolve();
        });
      }),
  };
}

function check(
  call: ServerUnaryCall<CheckRequest, CheckResponse>,
  reply: sendUnaryData<CheckResponse>,
  options: AuthorizationServerOptions,
): void {
  const http = call.request.attributes?.request?.http;
  const path = http?.path ?? '';
  const wellKnown = path.split('?', 1)[0] === wellKnownPath(options.leaseName);
  const leave = options.onCheck({
    kind: wellKnown ? 'well-known' : 'application',
    waitMs: wellKnown ? readProbeWaitMs(path) : 0,
    forwardedBy: readForwardedBy(http?.headers[FORWARDED_HEADER]),
    settle: (verdict) => reply(null, toResponse(verdict)),
    askAgain: () => reply({ code: status.UNAVAILABLE, details: 'this gate is stopping; ask again' }),
  });
  call.on('cancelled', leave);
}

function toResponse(verdict: FinalVerdict): CheckResponse {
  if (verdict.kind === 'allow') {
    return { status: { code: status.OK }, ok_response: { headers: [header(ROUTE_HEADER, verdict.route)] } };
  }
  const body = { type: `urn:continuum:${verdict.code}`, title: TITLES[verdict.code], status: 503, code: verdict.code };
  return {
    status: { code: status.PERMISSION_DENIED },
    denied_response: {
      status: { code: 503 },
      headers: [
        header('content-type', 'application/problem+json'),
        header('retry-after', '1'),
        header('cache-control', 'no-store'),
        header(REFUSED_HEADER, verdict.code),
      ],
      body: `${JSON.stringify(body)}\n`,
    },
  };
}

function header(key: string, value: string): Header {
  return { header: { key, value } };
}

function authorizationService(): ServiceDefinition {
  const file = fileURLToPath(new URL('./authorization.proto', import.meta.url));
  const definition = loadSync(file, { keepCase: true, objects: true });
  const root = loadPackageDefinition(definition) as unknown as {
    envoy: { service: { auth: { v3: { Authorization: { service: ServiceDefinition } } } } };
  };
  return root.envoy.service.auth.v3.Authorization.service;
}
