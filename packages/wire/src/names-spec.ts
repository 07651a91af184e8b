// The names of a controller's specification: one, in the zone that is its parent unless another one is said, or several with
// their zone. The zone of several is never guessed: with the zone's own name among them its parent would be somebody else's.

import { namesProblems } from '@continuum/core';
import { z } from 'zod';
import { problemAt, readable } from './config-file.ts';
import type { ConfigProblem, LineOf } from './config-file.ts';

export const hostname = z.string().max(253, 'use at most 253 characters').regex(/^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/, 'use a domain name in lower case, without a dot at its end');

export const answeredNames = {
  name: hostname.optional(),
  /** In place of `name`: hosts, the zone's own name and `*.` wildcards. The probes ask for the first that is no wildcard. */
  names: z.array(z.string()).optional(),
  zone: z.string().optional(),
};

type Given = { readonly name?: string | undefined; readonly names?: readonly string[] | undefined; readonly zone?: string | undefined };
export type AnsweredNames = { readonly zone: string; readonly names: readonly string[] };

export function namesOf({ name = '', names = [name], zone = name.slice(name.indexOf('.') + 1) }: Given): AnsweredNames {
  return { zone, names };
}

export function namesChecks(raw: unknown, lineOf: LineOf): ConfigProblem[] {
  const at = ['spec', 'dns'];
  const given = readable(z.looseObject(answeredNames), raw, at);
  if (given === null) return [];
  const add = (key: PropertyKey[], fix: string): ConfigProblem => problemAt([...at, ...key], fix, raw, lineOf);
  const { name, names, zone } = given;
  if (name !== undefined && names !== undefined) return [add(['name'], 'remove it: spec.dns.names is given, and may hold this one too')];
  if (name === undefined && names === undefined) return [add(['name'], 'give it, or several under spec.dns.names')];
  if (zone === undefined && names !== undefined) return [add(['zone'], 'give the zone of spec.dns.names: with several names it is not guessed')];
  const answered = namesOf(given);
  return namesProblems(answered.zone, answered.names, true).map(({ field, fix }) => add(place(field, name !== undefined), `use ${fix}`));
}

/** Where a field of the core stands in the file: `names[2]` is under `names`, or is the one `name`. */
function place(field: string, single: boolean): PropertyKey[] {
  if (field === 'zone') return ['zone'];
  if (single) return ['name'];
  const [, index] = /\[(\d+)\]/.exec(field) ?? [];
  return index === undefined ? ['names'] : ['names', Number(index)];
}
