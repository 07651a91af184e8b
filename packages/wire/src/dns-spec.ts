// A specification of names alone, for every placement: what `continuum dns render` reads. All problems come at once. A
// specification of a controller (kind Continuum) is read too: its names are an active-hotstandby of two regions.

import type { PdnsVersion, PlacementInput } from '@continuum/core';
import { parse } from 'yaml';
import { z } from 'zod';
import { API_VERSION, generation, leaseOf, parseConfig, timingsOf } from './spec.ts';
import type { ConfigProblem } from './spec.ts';

const probeWish = {
  intervalSeconds: z.number().int().min(1).optional(),
  failures: z.number().int().min(1).optional(),
  failUntilProbed: z.boolean().optional(),
  httpCode: z.number().int().optional(),
  timeoutSeconds: z.number().int().min(1).optional(),
  match: z.string().max(200).optional(),
};
const port = z.number().int().min(1, 'use 1 to 65535').max(65_535, 'use 1 to 65535');

const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

const document = z.strictObject({
  apiVersion: z.literal(API_VERSION, `use ${API_VERSION}`),
  kind: z.literal('ContinuumNames', 'use ContinuumNames, or the Continuum of a controller'),
  metadata: z.strictObject({ name: z.string().regex(NAME, 'use 1 to 63 of a-z, 0-9 and inner hyphens'), generation: generation.optional() }),
  spec: z.strictObject({
    placement: z.enum(['single-region', 'active-active', 'active-hotstandby'], 'use single-region, active-active or active-hotstandby'),
    zone: z.string().max(255),
    names: z.array(z.string().max(255)).min(1, 'give at least one name').max(64),
    ttlSeconds: z.number().int(),
    regions: z.array(z.strictObject({ name: z.string().max(31), addresses: z.array(z.string().max(45)).max(16), weight: z.number().int().optional() })).max(16),
    select: z.enum(['nearest', 'weighted']).optional(),
    probe: z.strictObject({ port, path: z.string().max(200), ...probeWish }).optional(),
    lease: z.strictObject({ name: z.string().max(63), port, path: z.string().max(200).optional(), probe: z.strictObject(probeWish).optional() }).optional(),
  }),
});

export type Names = {
  /** Of the specification. */
  readonly name: string;
  /** 0 when it does not say. */
  readonly generation: number;
  readonly input: PlacementInput;
};
export type ParsedNames = ({ readonly ok: true } & Names) | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

export function parseNames(text: string, version: PdnsVersion): ParsedNames {
  const raw = readYaml(text);
  if (typeof raw === 'object' && raw !== null && 'kind' in raw && raw.kind === 'Continuum') return fromController(text, version);
  const parsed = document.safeParse(raw);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => ({ path: issue.path.join('.') || '(file)', value: '(see there)', fix: issue.message, line: null }));
    return { ok: false, problems };
  }
  const { placement, zone, names, ttlSeconds, regions, select, probe, lease } = parsed.data.spec;
  const input = {
    placement,
    version,
    zone,
    names,
    ttlSeconds,
    regions: regions.map(({ name, ...rest }) => present({ region: name, ...rest })),
    select,
    probe: probe === undefined ? undefined : present(probe),
    lease: lease === undefined ? undefined : present({ ...lease, probe: lease.probe === undefined ? undefined : present(lease.probe) }),
  };
  const { metadata } = parsed.data;
  return { ok: true, name: metadata.name, generation: metadata.generation ?? 0, input: present(input) as PlacementInput };
}

/** The name's own parent is taken for its zone. */
function fromController(text: string, version: PdnsVersion): ParsedNames {
  const parsed = parseConfig(text);
  if (!parsed.ok) return parsed;
  const { config } = parsed;
  const { regions, dns } = config.spec;
  const ports = [...new Set(regions.map(({ gateway }) => gateway.port))];
  if (ports.length > 1) {
    const problem = { path: 'spec.regions[1].gateway.port', value: String(ports[1]), fix: 'use the same port in every region: the probe’s URL holds one', line: null };
    return { ok: false, problems: [problem] };
  }
  return {
    ok: true,
    name: config.metadata.name,
    generation: config.metadata.generation ?? 0,
    input: {
      placement: 'active-hotstandby',
      version,
      zone: dns.name.slice(dns.name.indexOf('.') + 1),
      names: [dns.name],
      ttlSeconds: timingsOf(config).dnsTtlSeconds,
      regions: regions.map(({ name, gateway }) => ({ region: name, addresses: [gateway.address] })),
      lease: { name: leaseOf(config), port: ports[0] ?? 0 },
    },
  };
}

function readYaml(text: string): unknown {
  try {
    return parse(text, { maxAliasCount: 0 });
  } catch {
    return undefined;
  }
}

/** Without the keys that were not given. */
function present<T extends object>(value: T): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as { [Key in keyof T]: Exclude<T[Key], undefined> };
}
