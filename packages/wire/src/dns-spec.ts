// A specification of names alone, for every placement: what `continuum dns render` reads. All problems come at once. A
// specification of a controller (kind Continuum) is read too: its names are an active-hotstandby of two regions.

import type { PdnsVersion, PlacementInput } from '@continuum/core';
import { z } from 'zod';
import { parseConfigFile, problemAt } from './config-file.ts';
import { namesOf } from './names-spec.ts';
import { addressesOf, API_VERSION, generation, leaseOf, parseConfig, timingsOf } from './spec.ts';
import type { ConfigProblem } from './spec.ts';

const atMost = (characters: number) => z.string().max(characters, `use at most ${characters} characters`);
const fromOne = z.number().int().min(1, 'use a whole number from 1');
const probeWish = {
  intervalSeconds: fromOne.optional(),
  failures: fromOne.optional(),
  failUntilProbed: z.boolean().optional(),
  httpCode: z.number().int().optional(),
  timeoutSeconds: fromOne.optional(),
  match: atMost(200).optional(),
};
const port = z.number().int().min(1, 'use 1 to 65535').max(65_535, 'use 1 to 65535');

const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

const codes = z.array(atMost(2)).max(300, 'give at most 300 codes').optional();
const region = z.strictObject({
  name: atMost(31),
  addresses: z.array(atMost(45)).max(16, 'give at most 16 addresses'),
  weight: z.number().int().optional(),
  locations: z.strictObject({ continents: codes, countries: codes }).optional(),
});

const document = z.strictObject({
  apiVersion: z.literal(API_VERSION, `use ${API_VERSION}`),
  kind: z.literal('ContinuumNames', 'use ContinuumNames, or the Continuum of a controller'),
  metadata: z.strictObject({ name: z.string().regex(NAME, 'use 1 to 63 of a-z, 0-9 and inner hyphens'), generation: generation.optional() }),
  spec: z.strictObject({
    placement: z.enum(['single-region', 'active-active', 'active-hotstandby'], 'use single-region, active-active or active-hotstandby'),
    zone: atMost(255),
    names: z.array(atMost(255)).min(1, 'give at least one name').max(64, 'give at most 64 names'),
    ttlSeconds: z.number().int(),
    regions: z.array(region).max(16, 'give at most 16 regions'),
    select: z.enum(['nearest', 'weighted'], 'use nearest or weighted').optional(),
    probe: z.strictObject({ port, path: atMost(200), ...probeWish }).optional(),
    lease: z.strictObject({ name: atMost(63), port, path: atMost(200).optional(), probe: z.strictObject(probeWish).optional() }).optional(),
  }),
});
const ofAnyKind = z.looseObject({ kind: z.unknown() });

export type Names = {
  /** Of the specification. */
  readonly name: string;
  /** 0 when it does not say. */
  readonly generation: number;
  readonly input: PlacementInput;
};
export type ParsedNames = ({ readonly ok: true } & Names) | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

export function parseNames(text: string, version: PdnsVersion): ParsedNames {
  const file = parseConfigFile(text, ofAnyKind);
  if (!file.ok) return file;
  if (file.config.kind === 'Continuum') return fromController(text, version);
  const parsed = parseConfigFile(text, document);
  if (!parsed.ok) return parsed;
  const { placement, zone, names, ttlSeconds, regions, select, probe, lease } = parsed.config.spec;
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
  const { metadata } = parsed.config;
  return { ok: true, name: metadata.name, generation: metadata.generation ?? 0, input: present(input) as PlacementInput };
}

function fromController(text: string, version: PdnsVersion): ParsedNames {
  const parsed = parseConfig(text);
  if (!parsed.ok) return parsed;
  const { config } = parsed;
  const { regions, dns } = config.spec;
  const [port = 0, ...others] = regions.map(({ gateway }) => gateway.port);
  const other = others.findIndex((one) => one !== port);
  if (other >= 0) {
    const path = ['spec', 'regions', other + 1, 'gateway', 'port'];
    const related = parseConfigFile(text, ofAnyKind, (raw, lineOf) => [problemAt(path, 'use the same port in every region: the probe’s URL holds one', raw, lineOf)]);
    if (!related.ok) return related;
  }
  return {
    ok: true,
    name: config.metadata.name,
    generation: config.metadata.generation ?? 0,
    input: {
      placement: 'active-hotstandby',
      version,
      ...namesOf(dns),
      ttlSeconds: timingsOf(config).dnsTtlSeconds,
      regions: regions.map((one) => ({ region: one.name, addresses: addressesOf(one) })),
      lease: { name: leaseOf(config), port },
    },
  };
}

/** Without the keys that were not given. */
function present<T extends object>(value: T): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as { [Key in keyof T]: Exclude<T[Key], undefined> };
}
