// The route table of one region's gateway. The gate's verdict arrives as a header and picks the route; the weights serve
// only what no gate has steered. Order is the meaning: the first match wins.

import type { Epoch, RegionId } from '@continuum/core';
import { epoch, regionId } from '@continuum/core';
import type { Weights } from '@continuum/ports';
import { FORWARDED_HEADER, REFUSED_HEADER, ROUTE_HEADER, wellKnownPath } from '@continuum/wire/gateway-headers';
import { z } from 'zod';

export const ROUTE_CONFIG_NAME = 'continuum';
export const LOCAL_CLUSTER = 'continuum_app';
export const gatewayCluster = (region: RegionId): string => `continuum_gateway_${region}`;

export type RouteTableOptions = {
  readonly region: RegionId;
  readonly leaseName: string;
  /** The other regions. */
  readonly peers: readonly RegionId[];
  /** Longest time the local application has for an answer. */
  readonly appTimeoutMs: number;
  /** The same for another region, which may first hold the request at its own gate. */
  readonly peerTimeoutMs: number;
};

/** Never written: what a gateway starts with until somebody sets weights. Serves only what the gate steers. */
export const UNSET_VERSION = 'unset';

const versionInfo = z.strictObject({ epoch: z.number().int().nonnegative(), weights: z.record(z.string(), z.number()) });
const routeFile = z.looseObject({ version_info: z.string(), resources: z.array(z.unknown()).length(1) });

export type RouteFile =
  | { readonly ok: true; readonly version: string; readonly weights: Weights | null }
  | { readonly ok: false; readonly reason: string };

/** The whole discovery file; `weights: null` is the table before anybody set weights. */
export function renderRouteFile(options: RouteTableOptions, weights: Weights | null): string {
  const routeConfiguration = {
    '@type': 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
    name: ROUTE_CONFIG_NAME,
    validate_clusters: true,
    virtual_hosts: [{ name: options.leaseName, domains: ['*'], routes: routes(options, weights) }],
  };
  return `${JSON.stringify({ version_info: renderVersion(weights), resources: [routeConfiguration] }, null, 1)}\n`;
}

/** The version says everything that can change, so that reading it back from Envoy proves what is in force. */
export function renderVersion(weights: Weights | null): string {
  if (weights === null) return UNSET_VERSION;
  const sorted = Object.fromEntries(Object.entries(weights.weights).sort(([a], [b]) => (a < b ? -1 : 1)));
  return JSON.stringify({ epoch: weights.epoch, weights: sorted });
}

export function parseRouteFile(text: string): RouteFile {
  const file = routeFile.safeParse(parseJson(text));
  if (!file.success) return { ok: false, reason: 'not a whole route file' };
  const version = file.data.version_info;
  if (version === UNSET_VERSION) return { ok: true, version, weights: null };
  const info = versionInfo.safeParse(parseJson(version));
  if (!info.success) return { ok: false, reason: 'its version is not one of ours' };
  const weights: Record<RegionId, number> = {};
  for (const [region, weight] of Object.entries(info.data.weights)) weights[regionId(region)] = weight;
  return { ok: true, version, weights: { epoch: epoch(info.data.epoch) as Epoch, weights } };
}

function routes(options: RouteTableOptions, weights: Weights | null): readonly object[] {
  const { region, leaseName, peers } = options;
  const here = { path: wellKnownPath(leaseName) };
  return [
    // 200 only with this region's own verdict: a gate that forwards must not make this region look active.
    { match: { ...here, headers: [exactly(ROUTE_HEADER, region)] }, ...answer(200, `active region=${region}\n`) },
    { match: here, ...answer(503, `not active region=${region}\n`) },
    { match: { prefix: '/', headers: [exactly(ROUTE_HEADER, region)] }, route: toLocal(options) },
    ...peers.map((peer) => ({
      match: { prefix: '/', headers: [exactly(ROUTE_HEADER, peer), notForwardedBy(region)] },
      route: { cluster: gatewayCluster(peer), ...toPeer(options) },
      request_headers_to_add: [forwardedBy(region)],
    })),
    // A verdict that names no route of this table, or back to where it was: certainly not executed.
    { match: { prefix: '/', headers: [present(ROUTE_HEADER)] }, ...refuse('CTM_GATEWAY_NO_ROUTE') },
    ...unsteered(options, weights),
  ];
}

function unsteered(options: RouteTableOptions, weights: Weights | null): readonly object[] {
  const { region, peers } = options;
  if (weights === null) return [{ match: { prefix: '/' }, ...refuse('CTM_GATEWAY_NO_WEIGHTS') }];
  const all = { match: { prefix: '/' } };
  const secondHop = { match: { prefix: '/', headers: [present(FORWARDED_HEADER)] } };
  const local = weights.weights[region] ?? 0;
  const clusters = [
    { name: LOCAL_CLUSTER, weight: local },
    ...peers.map((peer) => ({
      name: gatewayCluster(peer),
      weight: weights.weights[peer] ?? 0,
      request_headers_to_add: [forwardedBy(region)],
    })),
  ];
  return [
    local > 0 ? { ...secondHop, route: toLocal(options) } : { ...secondHop, ...refuse('CTM_GATEWAY_LOOP') },
    { ...all, route: { weighted_clusters: { clusters }, ...toPeer(options) } },
  ];
}

function toLocal(options: RouteTableOptions): object {
  return { cluster: LOCAL_CLUSTER, timeout: seconds(options.appTimeoutMs), retry_policy: UNSENT_ONLY };
}

function toPeer(options: RouteTableOptions): object {
  return { timeout: seconds(options.peerTimeoutMs), retry_policy: UNSENT_ONLY };
}

/** Only a request that certainly never left is sent again: a write must not run twice. */
const UNSENT_ONLY = {
  retry_on: 'connect-failure',
  num_retries: 3,
  retry_back_off: { base_interval: '0.025s', max_interval: '0.1s' },
};

const exactly = (name: string, value: string): object => ({ name, string_match: { exact: value } });
const present = (name: string): object => ({ name, present_match: true });
/** A region's name is of a-z, 0-9 and -: nothing in it means anything to a regular expression. */
const notForwardedBy = (region: RegionId): object => ({
  name: FORWARDED_HEADER,
  string_match: { safe_regex: { regex: `(.*,)?\\s*${region}\\s*(,.*)?` } },
  invert_match: true,
  treat_missing_header_as_empty: true,
});

const forwardedBy = (region: RegionId): object => ({
  header: { key: FORWARDED_HEADER, value: region },
  append_action: 'APPEND_IF_EXISTS_OR_ADD',
});

function answer(status: number, text: string): object {
  const headers = [{ key: 'content-type', value: 'text/plain' }, { key: 'cache-control', value: 'no-store' }];
  return {
    direct_response: { status, body: { inline_string: text } },
    response_headers_to_add: headers.map((header) => ({ header, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' })),
  };
}

function refuse(code: string): object {
  const problem = { type: `urn:continuum:${code}`, title: 'This gateway has no region for the request', status: 503, code };
  const headers = [
    { key: 'content-type', value: 'application/problem+json' },
    { key: 'retry-after', value: '1' },
    { key: REFUSED_HEADER, value: code },
  ];
  return {
    direct_response: { status: 503, body: { inline_string: `${JSON.stringify(problem)}\n` } },
    response_headers_to_add: headers.map((header) => ({ header, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' })),
  };
}

const seconds = (durationMs: number): string => `${durationMs / 1_000}s`;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
