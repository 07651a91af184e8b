// What is wrong with something that came in, field by field: bodies, records, options. Each problem says where it is, what
// stands there and what to do about it.

import type { z } from 'zod';
import { KeyError } from './keys.ts';

/** What was wrong with one field, for the operator who has to mend it. */
export type FieldProblem = { readonly path: string; readonly value: string; readonly fix: string };

/** Options or a configuration that cannot be used. `fields` names every problem. */
export class InvalidFieldsError extends Error {
  /** Stable, `CTM_*`: whose options they are. */
  readonly code: string;
  readonly fields: readonly FieldProblem[];
  constructor(code: string, fields: readonly FieldProblem[]) {
    super(describeFields(fields));
    this.name = 'InvalidFieldsError';
    this.code = code;
    this.fields = fields;
  }
}

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly fields: FieldProblem[] };

/** Parses `input`; every problem comes back with its path, the value found there and what to do about it. */
export function parseWire<T>(schema: z.ZodType<T>, input: unknown): Parsed<T> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return { ok: true, value: parsed.data };
  return { ok: false, fields: fieldProblems(parsed.error.issues, input) };
}

const FIELD_PROBLEMS_MAX = 20;
const VALUE_LENGTH_MAX = 80;

export function fieldProblems(issues: readonly z.core.$ZodIssue[], input: unknown): FieldProblem[] {
  return issues.slice(0, FIELD_PROBLEMS_MAX).map((issue) => ({
    path: issue.path.length === 0 ? '(whole)' : issue.path.map(String).join('.').slice(0, 200),
    value: render(issue.path.reduce<unknown>(at, input)),
    fix: issue.message.slice(0, 400),
  }));
}

/** `path is value: fix`, one problem after the other. */
export function describeFields(fields: readonly FieldProblem[]): string {
  return fields
    .map(({ path, value, fix }) => `${path} is ${value}: ${fix}`)
    .join('; ')
    .slice(0, 2_000);
}

function at(value: unknown, key: PropertyKey): unknown {
  return value !== null && typeof value === 'object' && Object.hasOwn(value, key)
    ? (value as Record<PropertyKey, unknown>)[key]
    : undefined;
}

function render(value: unknown): string {
  const rendered = value === undefined ? 'missing' : (JSON.stringify(value) ?? String(value));
  return rendered.length > VALUE_LENGTH_MAX ? `${rendered.slice(0, VALUE_LENGTH_MAX)}...` : rendered;
}

/** For the `catch` of an import of keys: a bad key becomes a problem of `path`, and is not quoted. */
export function keyProblem(problems: FieldProblem[], path: string): (error: unknown) => null {
  return (error) => {
    if (!(error instanceof KeyError)) throw error;
    problems.push({ path, value: '(not shown)', fix: error.message });
    return null;
  };
}
