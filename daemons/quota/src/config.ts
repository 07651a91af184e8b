// The gate's configuration: one YAML file, checked whole. Every problem is reported, each with its path, the value found
// and what to write instead, because whoever repairs a gate at night should not have to start it five times.

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { parseDocument } from 'yaml';
import { z } from 'zod';

/** Linux limits a unix socket's path to 107 bytes and a terminator. */
const SOCKET_PATH_BYTES_MAX = 107;

const duration = (least: number, most: number, fallback: number) =>
  z
    .number({ error: `write a number of milliseconds from ${least} to ${most}` })
    .int(`write whole milliseconds from ${least} to ${most}`)
    .min(least, `write at least ${least}`)
    .max(most, `write at most ${most}`)
    .default(fallback);

const path = (what: string) =>
  z.string({ error: `write the absolute path of ${what}` }).startsWith('/', `write the absolute path of ${what}`);

const address = (what: string) =>
  z.string({ error: `write ${what} as address:port, for example 127.0.0.1:9001` }).transform((text, context) => {
    const colon = text.lastIndexOf(':');
    const host = text.slice(0, colon).replace(/^\[|\]$/g, '');
    const port = Number(text.slice(colon + 1));
    if (colon > 0 && isIP(host) !== 0 && /^\d+$/.test(text.slice(colon + 1)) && port >= 1 && port <= 65_535) {
      return { host, port };
    }
    context.addIssue({ code: 'custom', message: `write ${what} as address:port, for example 127.0.0.1:9001` });
    return z.NEVER;
  });

const name = (what: string) =>
  z
    .string({ error: `write ${what}` })
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, `write ${what} in lower-case letters, digits and inner hyphens`);

const gateConfig = z.strictObject({
  region: name('the name of this region'),
  leaseName: name('the name of the lease'),
  listen: address('where Envoy asks'),
  metricsListen: address('where metrics are read'),
  controllerSocket: path("the controller's unix socket").refine(
    (value) => Buffer.byteLength(value) <= SOCKET_PATH_BYTES_MAX,
    `write a path of at most ${SOCKET_PATH_BYTES_MAX} bytes: a unix socket's path cannot be longer`,
  ),
  epochFile: path('the file that remembers the highest epoch'),
  askIntervalMs: duration(10, 10_000, 100),
  heldMax: z
    .number({ error: 'write a number of requests' })
    .int('write a whole number of requests')
    .min(0, 'write 0 or more')
    .max(100_000, 'write at most 100000')
    .default(10_000),
  holdMsLimit: duration(0, 120_000, 15_000),
  firstAnswerMsMax: duration(0, 60_000, 1_000),
  logLevel: z
    .enum(['trace', 'debug', 'info', 'warn', 'error'], { error: 'write one of trace, debug, info, warn, error' })
    .default('info'),
});

export type GateConfig = z.infer<typeof gateConfig>;

export type Problem = { readonly path: string; readonly value: string; readonly fix: string };

export type Loaded =
  | { readonly ok: true; readonly config: GateConfig }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Reads and checks the file. Never throws for what a user can write. */
export function loadConfig(file: string): Loaded {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return problem(file, (error as NodeJS.ErrnoException).code ?? String(error), 'give --config a file that can be read');
  }
  return parseConfig(text);
}

export function parseConfig(text: string): Loaded {
  const document = parseDocument(text, { prettyErrors: true });
  const syntax = document.errors[0];
  if (syntax !== undefined) return problem('(file)', syntax.message.split('\n')[0] ?? '', 'write valid YAML');
  const value: unknown = document.toJS();
  const parsed = gateConfig.safeParse(value);
  if (parsed.success) return { ok: true, config: parsed.data };
  return { ok: false, problems: parsed.error.issues.flatMap((issue) => explain(issue, value)) };
}

/** One line per problem, for the terminal and for the log. */
export function describeProblems(file: string, problems: readonly Problem[]): string {
  const lines = problems.map(({ path: where, value, fix }) => `  ${where}: found ${value}; ${fix}`);
  return [`${file}: ${problems.length} problem(s)`, ...lines].join('\n');
}

function explain(issue: z.core.$ZodIssue, root: unknown): Problem[] {
  const at = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(gateConfig.shape).join(', ');
    return issue.keys.map((key) => ({
      path: [...at, key].join('.'),
      value: show(lookUp(root, [...at, key])),
      fix: `remove it: not a setting of the gate (settings are ${known})`,
    }));
  }
  return [{ path: at.join('.') || '(file)', value: show(lookUp(root, at)), fix: issue.message }];
}

function lookUp(root: unknown, at: readonly string[]): unknown {
  return at.reduce<unknown>(
    (inner, key) => (inner !== null && typeof inner === 'object' ? (inner as Record<string, unknown>)[key] : undefined),
    root,
  );
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function problem(where: string, value: string, fix: string): Loaded {
  return { ok: false, problems: [{ path: where, value, fix }] };
}
