// What this daemon has published where, kept over restarts: without it a restart could not tell a specification that changed
// meanwhile from records that somebody else published, and names that are no longer wanted would be answered for ever.

import { join } from 'node:path';
import type { Mark } from '@continuum/core';
import { readStateFile, StateFileError, writeStateFile } from '@continuum/runtime';
import { z } from 'zod';

/** What this daemon has published in one zone. */
export type Place = {
  readonly zone: string;
  /** What its specification was called then. */
  readonly specification: string;
  /** What it published or found to be its own last; null when it does not know. */
  readonly agreed: Mark | null;
  /** Names that it has made answer, and those of its marks. */
  readonly names: readonly string[];
};

/** `answeredAtMs`: by the wall clock, when the manager first said that it has it; null before. */
export type Sent = { readonly digest: string; readonly key: string; readonly answeredAtMs: number | null };

export type Published = {
  /** One but for the time that a specification takes to move to another zone. */
  readonly places: readonly Place[];
  /** The last change that was sent to a manager. */
  readonly change: Sent | null;
};

export type PublishMemory = {
  readonly of: (target: string) => Published;
  /** Durable when it returns; throws when the disk refuses. */
  readonly save: (target: string, published: Published) => void;
};

const FILE = 'publication.json';
const NOTHING: Published = { places: [], change: null };

const mark = z.strictObject({ generation: z.number().int().nonnegative(), digest: z.string().max(64) });
const place = z.strictObject({ zone: z.string().max(255), specification: z.string().max(64), agreed: mark.nullable(), names: z.array(z.string().max(255)).max(4_096) });
const stored = z.record(
  z.string(),
  z.strictObject({
    places: z.array(place).max(64),
    change: z.strictObject({ digest: z.string().max(64), key: z.string().max(64), answeredAtMs: z.number().nullable() }).nullable(),
  }),
);

/** A file that cannot be read is told, and taken for none: what is found on the servers then decides, and nothing is overwritten. */
export function openPublishMemory(stateDir: string, onProblem: (problem: string) => void): PublishMemory {
  const file = join(stateDir, FILE);
  let known = read(file, onProblem);
  return {
    of: (target) => known.get(target) ?? NOTHING,
    save: (target, published) => {
      const next = new Map(known).set(target, published);
      writeStateFile(file, Object.fromEntries(next));
      known = next;
    },
  };
}

function read(file: string, onProblem: (problem: string) => void): ReadonlyMap<string, Published> {
  try {
    const parsed = stored.nullable().safeParse(readStateFile(file));
    if (parsed.success) return new Map(Object.entries(parsed.data ?? {}));
    onProblem(`${file} is not this version's`);
  } catch (error) {
    if (!(error instanceof StateFileError)) throw error;
    onProblem(`${file} is damaged`);
  }
  return new Map();
}
