// What is to be published: the specification in its file, and what it becomes for one version of PowerDNS. The file is read again
// and again, by content: a mounted configuration is replaced by moving symbolic links, which no watch of a file sees. A new text
// that cannot be used is told, and the one before stays in force.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { renderPlacement } from '@continuum/core';
import type { DnsProblem, Mark, Note, PdnsVersion, PlacementInput, Rrset } from '@continuum/core';
import { parseNames } from '@continuum/wire/dns-spec';

export type SpecProblem = { readonly path: string; readonly value: string; readonly fix: string };

/** What one version of PowerDNS is to be told. */
export type Records = {
  readonly rrsets: readonly Rrset[];
  readonly mark: Mark;
  readonly notes: readonly Note[];
};

/** A name, and the addresses that it has while the lease is there. */
export type Flip = { readonly name: string; readonly addresses: readonly string[] };

export type NamesSpec = {
  readonly name: string;
  readonly generation: number;
  /** Without a final dot. */
  readonly zone: string;
  /** Of every region: nothing else may be answered. */
  readonly addresses: readonly string[];
  /** What shows that DNS followed a lease to a region; null when no name follows that lease, or none names that region. */
  readonly flipTo: (lease: string, region: string) => Flip | null;
  readonly render: (version: PdnsVersion) => { readonly ok: true; readonly records: Records } | { readonly ok: false; readonly problems: readonly DnsProblem[] };
};

export type ReadSpec = { readonly ok: true; readonly spec: NamesSpec } | { readonly ok: false; readonly problems: readonly SpecProblem[] };

const FOLLOW_MS = 1_000;
const DIGEST_LENGTH = 22;
/** Knows every option, so that what it refuses is wrong for all. */
const NEWEST: PdnsVersion = '5.1';

/** Every problem of the text that no version of PowerDNS would mend. */
export function readSpec(text: string, onRendered: (seconds: number) => void): ReadSpec {
  const parsed = parseNames(text, NEWEST);
  if (!parsed.ok) return { ok: false, problems: parsed.problems };
  const { name, generation, input } = parsed;
  const made = renderPlacement(input);
  if (!made.ok) return { ok: false, problems: made.problems.map(({ field, value, fix }) => ({ path: field, value, fix })) };
  return {
    ok: true,
    spec: {
      name,
      generation,
      zone: input.zone.replace(/\.$/, ''),
      addresses: input.regions.flatMap(({ addresses }) => addresses),
      flipTo: (lease, region) => flipTo(input, lease, region),
      render: (version) => {
        const startMs = performance.now();
        const rendered = renderPlacement({ ...input, version });
        onRendered((performance.now() - startMs) / 1_000);
        if (!rendered.ok) return rendered;
        const rrsets = [...rendered.value.rrsets, ...rendered.value.lua];
        const digest = createHash('sha256').update(JSON.stringify(rrsets)).digest('base64url').slice(0, DIGEST_LENGTH);
        return { ok: true, records: { rrsets, mark: { generation, digest }, notes: rendered.value.notes } };
      },
    },
  };
}

function flipTo({ placement, lease: followed, names, regions }: PlacementInput, lease: string, region: string): Flip | null {
  if (placement !== 'active-hotstandby' || followed?.name !== lease) return null;
  const name = names.find((one) => !one.startsWith('*.'));
  const addresses = regions.find((one) => one.region === region)?.addresses;
  return name === undefined || addresses === undefined ? null : { name, addresses };
}

/** Tells of every new text of the file until the signal ends. */
export async function followSpec(file: string, firstText: string, onText: (text: string) => void, signal: AbortSignal): Promise<void> {
  let seen = firstText;
  while (!signal.aborted) {
    const text = await delay(FOLLOW_MS, undefined, { signal })
      .then(() => readFile(file, 'utf8'))
      .catch(gone);
    if (signal.aborted || text === null || text === seen) continue;
    seen = text;
    onText(text);
  }
}

/** For a moment while it is replaced, or the wait was ended. */
function gone(error: unknown): null {
  if (error instanceof Error && 'code' in error) return null;
  throw error;
}
