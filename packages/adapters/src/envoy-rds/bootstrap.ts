// Envoy's start-up configuration for one region's gateway. Here are the settings without which a hold, a restart of the
// gate or a release of held requests fails requests; each says which.

import type { RegionId } from '@continuum/core';
import { FORWARDED_HEADER, REFUSED_HEADER } from '@continuum/wire/gateway-headers';
import { LOCAL_CLUSTER, ROUTE_CONFIG_NAME, gatewayCluster } from './route-table.ts';

export const GATE_CLUSTER = 'continuum_gate';
export const HTTP_STAT_PREFIX = 'continuum';

/** Over the longest hold: Envoy's own time-out must never end a request that the gate still holds. */
const GATE_TIMEOUT_MARGIN_MS = 10_000;
/** Default limits (1,024) fail held requests, and then the application's side fails the burst when they are released. */
const REQUESTS_MAX = 100_000;
/** Together about 5 s: a request outlives a restart of the gate, also on a busy machine, and is refused after that. */
const GATE_RETRIES = 50;

export type Endpoint = { readonly address: string; readonly port: number };

export type BootstrapOptions = {
  readonly region: RegionId;
  readonly leaseName: string;
  readonly listen: Endpoint;
  /** Unauthenticated: loopback only. */
  readonly admin: Endpoint;
  /** Null: no gate, the weights alone decide. */
  readonly gate: Endpoint | null;
  readonly app: Endpoint;
  readonly peers: readonly (Endpoint & { readonly region: RegionId })[];
  /** The file of `createEnvoyTraffic`, and its folder, which holds nothing else. */
  readonly routeFile: string;
  readonly routeFolder: string;
  readonly accessLogFile: string;
  /** The longest that any gate holds a request. */
  readonly holdMsLimit: number;
};

/** Longest time a request may spend at a gate, for the gate's own time-out and for whoever forwards to it. */
export const gateTimeoutMs = (holdMsLimit: number): number => holdMsLimit + GATE_TIMEOUT_MARGIN_MS;

export function renderBootstrap(options: BootstrapOptions): string {
  const gate = options.gate === null ? [] : [gateCluster(options.gate)];
  return `${JSON.stringify(
    {
      node: { id: `continuum-${options.leaseName}-${options.region}`, cluster: 'continuum' },
      admin: { address: socketAddress(options.admin) },
      static_resources: {
        listeners: [listener(options)],
        clusters: [...gate, appCluster(options.app), ...options.peers.map(peerCluster)],
      },
    },
    null,
    1,
  )}\n`;
}

function listener(options: BootstrapOptions): object {
  return {
    name: 'continuum',
    address: socketAddress(options.listen),
    // With port sharing a second gateway on the same address would silently get half of the connections.
    enable_reuse_port: false,
    filter_chains: [
      { filters: [typed('envoy.filters.network.http_connection_manager', connectionManager(options))] },
    ],
  };
}

function connectionManager(options: BootstrapOptions): object {
  const router = typed('envoy.filters.http.router', {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
  });
  const gate = options.gate === null ? [] : [typed('envoy.filters.http.ext_authz', externalAuthorization(options))];
  return {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: HTTP_STAT_PREFIX,
    use_remote_address: true,
    normalize_path: true,
    // They would count the hold: a held request must live as long as the gate holds it.
    request_timeout: '0s',
    stream_idle_timeout: seconds(gateTimeoutMs(options.holdMsLimit) + 60_000),
    rds: {
      route_config_name: ROUTE_CONFIG_NAME,
      config_source: {
        resource_api_version: 'V3',
        // In-place writes are not seen; a rename into the watched folder is.
        path_config_source: { path: options.routeFile, watched_directory: { path: options.routeFolder } },
      },
    },
    http_filters: [typed('envoy.filters.http.header_mutation', withoutEnvoyHeaders()), ...gate, router],
    local_reply_config: { mappers: refusalMappers() },
    access_log: [accessLog(options.accessLogFile)],
  };
}

/** A client's x-envoy-retry-on would make Envoy send a write again; none of these headers is a client's to set. */
function withoutEnvoyHeaders(): object {
  return {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
    mutations: { request_mutations: [{ remove_on_match: { key_matcher: { prefix: 'x-envoy-' } } }] },
  };
}

function externalAuthorization(options: BootstrapOptions): object {
  return {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz',
    transport_api_version: 'V3',
    failure_mode_allow: false,
    // The default is 403, which a client would not try again.
    status_on_error: { code: 'ServiceUnavailable' },
    // Without it a held request keeps the route that it came with and goes to the old region.
    clear_route_cache: true,
    // Nothing else of the request leaves the gateway: no cookies, no credentials.
    allowed_headers: { patterns: [{ exact: FORWARDED_HEADER }] },
    grpc_service: {
      envoy_grpc: { cluster_name: GATE_CLUSTER },
      timeout: seconds(gateTimeoutMs(options.holdMsLimit)),
      // Only here, and only with retry_on, does Envoy retry a check.
      retry_policy: {
        retry_on: 'unavailable,reset,connect-failure,refused-stream',
        num_retries: GATE_RETRIES,
        retry_back_off: { base_interval: '0.025s', max_interval: '0.2s' },
      },
      // Envoy takes max_interval for the time-out of one try as well (its issue 38847), and would ask anew every 0.2 s
      // about a request that is held. This header, read by Envoy itself, wins over that.
      initial_metadata: [{ key: 'x-envoy-upstream-rq-per-try-timeout-ms', value: String(gateTimeoutMs(options.holdMsLimit)) }],
    },
  };
}

/**
 * Tells a client that its request was certainly not executed, where Envoy knows: the gate could not be asked, or no
 * connection to the next hop was made. A broken connection is not among them: the request may have arrived.
 */
function refusalMappers(): readonly object[] {
  const mapper = (flags: readonly string[], code: string): object => ({
    filter: { response_flag_filter: { flags } },
    headers_to_add: [
      { header: { key: REFUSED_HEADER, value: code }, append_action: 'ADD_IF_ABSENT' },
      { header: { key: 'retry-after', value: '1' }, append_action: 'ADD_IF_ABSENT' },
    ],
  });
  return [
    mapper(['UAEX'], 'CTM_GATEWAY_NO_VERDICT'),
    mapper(['UF', 'UH', 'UO', 'NC'], 'CTM_GATEWAY_NO_UPSTREAM'),
  ];
}

function gateCluster(gate: Endpoint): object {
  return { ...cluster(GATE_CLUSTER, gate), connect_timeout: '0.25s', ...http2() };
}

function appCluster(app: Endpoint): object {
  return {
    ...cluster(LOCAL_CLUSTER, app),
    // Envoy must be the side that closes an idle connection, or a request is lost on one that the application closes.
    ...protocol({ explicit_http_config: { http_protocol_options: {} }, common_http_protocol_options: { idle_timeout: '30s' } }),
  };
}

function peerCluster(peer: Endpoint & { readonly region: RegionId }): object {
  return { ...cluster(gatewayCluster(peer.region), peer), ...http2({ interval: '1s', timeout: '2s' }) };
}

function cluster(name: string, endpoint: Endpoint): object {
  const limits = {
    max_connections: REQUESTS_MAX,
    max_pending_requests: REQUESTS_MAX,
    max_requests: REQUESTS_MAX,
    max_retries: REQUESTS_MAX,
  };
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    circuit_breakers: { thresholds: [{ priority: 'DEFAULT', ...limits }] },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(endpoint) } }] }],
    },
  };
}

function http2(keepAlive?: { interval: string; timeout: string }): object {
  const options = keepAlive === undefined ? {} : { connection_keepalive: keepAlive };
  return protocol({ explicit_http_config: { http2_protocol_options: options } });
}

function protocol(options: object): object {
  const type = 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  return {
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': { '@type': type, ...options },
    },
  };
}

function accessLog(file: string): object {
  return typed('envoy.access_loggers.file', {
    '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
    path: file,
    log_format: {
      json_format: {
        at: '%START_TIME%',
        method: '%REQ(:METHOD)%',
        path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
        status: '%RESPONSE_CODE%',
        flags: '%RESPONSE_FLAGS%',
        details: '%RESPONSE_CODE_DETAILS%',
        durationMs: '%DURATION%',
        route: '%REQ(X-CONTINUUM-ROUTE)%',
        forwarded: '%REQ(X-CONTINUUM-FORWARDED)%',
        cluster: '%UPSTREAM_CLUSTER%',
        requestId: '%REQ(X-REQUEST-ID)%',
      },
    },
  });
}

const typed = (name: string, config: object): object => ({ name, typed_config: config });
const seconds = (durationMs: number): string => `${durationMs / 1_000}s`;
const socketAddress = ({ address, port }: Endpoint): object => ({ socket_address: { address, port_value: port } });
