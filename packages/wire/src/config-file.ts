// A configuration file, read whole: YAML against a schema, every problem in one report with its line, its path, the value
// found there and what to write instead, because whoever repairs a daemon at night should not have to start it five times.

import { isIP } from 'node:net';
import { isCollection, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import type { Document } from 'yaml';
import { z } from 'zod';

/** As much as a ConfigMap holds. The parser takes minutes for ten times that. */
const LENGTH_MAX = 1024 * 1024;
const SHOWN_MAX = 50;

/** One thing wrong with a configuration. */
export type ConfigProblem = {
  /** Dotted, for example `spec.regions[1].gateway.port`. */
  readonly path: string;
  /** What is there, shortened; `(nothing)` when it is missing. */
  readonly value: string;
  readonly fix: string;
  /** Line in the file, from 1; null when the key is missing. */
  readonly line: number | null;
};

export type ConfigFile<T> = { readonly ok: true; readonly config: T } | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** Where something stands in the file; null when it is not there. */
export type LineOf = (path: readonly PropertyKey[]) => number | null;

/**
 * Parses a configuration. `relate` adds what relates one part to another; it gets the file as it was written, and runs even
 * when parts of it are wrong. A value under a key that names a secret is never quoted.
 */
export function parseConfigFile<T>(
  text: string,
  schema: z.ZodType<T>,
  relate: (raw: unknown, lineOf: LineOf) => readonly ConfigProblem[] = () => [],
): ConfigFile<T> {
  // The parser takes minutes and gigabytes for what nobody wrote by hand.
  if (text.length > LENGTH_MAX) return { ok: false, problems: [{ path: '(file)', value: `${text.length} characters`, fix: `give a configuration of at most ${LENGTH_MAX}: is this the right file?`, line: null }] };
  const lines = new LineCounter();
  const yaml = parseDocument(text, { lineCounter: lines, strict: true, uniqueKeys: false });
  const unusable = notPlainYaml(yaml, lines);
  if (unusable.length > 0) return { ok: false, problems: unusable };
  const raw: unknown = yaml.toJS({ maxAliasCount: 0 });
  const parsed = schema.safeParse(raw, { error: sayWhatBelongs });
  const lineOf: LineOf = (path) => {
    const node: unknown = yaml.getIn(path as readonly unknown[], true);
    const range = node !== null && typeof node === 'object' && 'range' in node ? (node.range as number[] | null) : null;
    return range?.[0] === undefined ? null : lines.linePos(range[0]).line;
  };
  const problems = parsed.success ? [] : parsed.error.issues.flatMap((issue) => describe(issue, raw, lineOf));
  problems.push(...relate(raw, lineOf));
  if (parsed.success && problems.length === 0) return { ok: true, config: parsed.data };
  const last = Number.MAX_SAFE_INTEGER;
  return { ok: false, problems: problems.sort((a, b) => (a.line ?? last) - (b.line ?? last)) };
}

/** The problems as an operator reads them. */
export function formatProblems(file: string, problems: readonly ConfigProblem[]): string {
  const rows = problems.slice(0, SHOWN_MAX).map(
    (one) => `  ${file}${one.line === null ? '' : `:${one.line}`}  ${one.path} = ${one.value}\n      ${one.fix}`,
  );
  const more = problems.length > SHOWN_MAX ? `\n  and ${problems.length - SHOWN_MAX} more` : '';
  return `${problems.length} problem${problems.length === 1 ? '' : 's'} in ${file}\n${rows.join('\n')}${more}`;
}

/** Linux limits a unix socket's path to 107 bytes and a terminator. */
const SOCKET_PATH_BYTES_MAX = 107;

/** `what` as it stands in the report: `the CA of the database`. */
export const absolutePath = (what: string) => {
  const fix = `write the absolute path of ${what}`;
  return z.string(fix).regex(/^\/[^\0]*$/, fix).max(4_096, 'write a path of at most 4096 characters');
};

export const socketPath = (what: string) =>
  absolutePath(what).refine(
    (path) => Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX,
    `write a path of at most ${SOCKET_PATH_BYTES_MAX} bytes: a unix socket's path cannot be longer`,
  );

/** An IP address and a port, as one text: `127.0.0.1:9188` or `[::1]:9188`. */
export const endpoint = (what: string) => {
  const fix = `write ${what} as address:port, for example 127.0.0.1:9188 or [::1]:9188`;
  return z.string(fix).transform((text, context) => {
    const at = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
    const [host, port] = [at?.[1] ?? at?.[2] ?? '', Number(at?.[3])];
    if (isIP(host) !== 0 && port >= 1 && port <= 65_535) return { host, port };
    context.addIssue({ code: 'custom', message: fix });
    return z.NEVER;
  });
};

/** Of a name server, or of what writes to it. Whoever can write its records can run code on it, so its key never crosses a network in the clear. */
export const apiUrl = z
  .url({ protocol: /^https?$/, error: 'use an http or https URL' })
  .refine((text) => !URL.canParse(text) || isPrivateUrl(new URL(text)), 'use https, or http on a loopback address: whoever reads the key can run code on the name server');

/** What is sent there crosses no network in the clear. */
export function isPrivateUrl({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'));
}

export const logLevel = z.enum(['trace', 'debug', 'info', 'warn', 'error'], 'write one of trace, debug, info, warn, error').default('info');

/** A problem that relates parts to each other, at the place where it is best mended. */
export function problemAt(path: readonly PropertyKey[], fix: string, raw: unknown, lineOf: LineOf): ConfigProblem {
  return { path: dotted(path), value: shown(path, raw), fix, line: lineOf(path) };
}

/** One part of the file, when it is as it must be; null when it is not (which `document` reports). */
export function readable<T>(schema: z.ZodType<T>, raw: unknown, path: readonly PropertyKey[]): T | null {
  const parsed = schema.safeParse(valueAt(raw, path));
  return parsed.success ? parsed.data : null;
}

/** What makes the file as a whole unusable. The parser's own words may quote the file: only their beginning is kept. */
function notPlainYaml(yaml: Document.Parsed, lines: LineCounter): ConfigProblem[] {
  // What follows the first is most often its consequence.
  const problems: ConfigProblem[] = yaml.errors.slice(0, 1).map((error) => ({
    path: '(file)',
    value: 'not YAML',
    fix: FIX_OF[error.code] ?? (/call stack/.test(error.message) ? TOO_DEEP : firstWords(error.message)),
    line: error.linePos?.[0].line ?? null,
  }));
  if (problems.length > 0) return problems;
  const add = (value: string, fix: string, range: readonly number[] | null | undefined): void => {
    problems.push({ path: '(file)', value, fix, line: range?.[0] === undefined ? null : lines.linePos(range[0]).line });
  };
  visit(yaml, {
    // The parser's own check takes the square of a map's length.
    Map: (_key, { items }) => {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) add(`the key ${shorten(JSON.stringify(key.value))}`, 'it stands here for the second time: keep one of them', key.range);
        seen.add(key.value);
      }
    },
    Alias: (_key, { range }) => add('an alias', 'write the value out: anchors and aliases are not read', range),
    Node: (_key, { tag, range }) => {
      if (tag !== undefined && !PLAIN_TAG.test(tag)) add(`a tag, ${tag.slice(0, 40)}`, 'leave the tag out: values are read as they stand', range);
    },
    Pair: (_key, { key }) => {
      if (isScalar(key) && typeof key.value !== 'string' && typeof key.value !== 'number') add('a key that is no text', 'give a name before the colon', key.range);
      if (isCollection(key)) add('a key that is no text', 'give a name before the colon, or put the value in quotes', key.range);
    },
  });
  return problems;
}

const TOO_DEEP = 'nest it less deeply: a configuration has a few levels';
/** What a value has by itself, whether somebody wrote it or not. */
const PLAIN_TAG = /^(!|tag:yaml\.org,2002:(map|seq|str|int|float|bool|null))$/;
const FIX_OF: Partial<Record<string, string>> = {
  TAB_AS_INDENT: 'indent with spaces: YAML takes no tabs',
  KEY_OVER_1024_CHARS: 'write a shorter key: is a line break or a quote missing before it?',
  MULTILINE_IMPLICIT_KEY: 'write ": " after the key on this line, or put the text in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'write one key with its value a line, or put the value in quotes',
  BAD_INDENT: 'indent this line like the others of its map or list',
  MULTIPLE_DOCS: 'keep one document: remove the line --- and what belongs to the other',
  RESOURCE_EXHAUSTION: TOO_DEEP,
};

const firstWords = (message: string): string => (message.split('\n')[0] ?? '').split(':')[0]?.replace(/ at line .*$/, '') ?? 'use YAML';

const WORD_OF: Partial<Record<string, string>> = { object: 'a map', record: 'a map', array: 'a list', string: 'a text', number: 'a number', int: 'a whole number', boolean: 'true or false', nonoptional: 'something' };

const sayWhatBelongs: z.core.$ZodErrorMap = (issue) =>
  issue.code === 'invalid_type' ? `give ${WORD_OF[issue.expected] ?? issue.expected} here` : undefined;

function describe(
  issue: z.core.$ZodIssue,
  raw: unknown,
  lineOf: LineOf,
): ConfigProblem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const path = [...issue.path, key];
      return { path: dotted(path), value: shown(path, raw), fix: 'unknown key: remove it, or correct its name', line: lineOf(path) };
    });
  }
  // Where a map belongs, a text is most often something that was put one level too high: nobody knows what.
  const text = issue.code === 'invalid_type' && ['object', 'record', 'array'].includes(issue.expected) && typeof valueAt(raw, issue.path) === 'string';
  if (issue.path.length === 0 && raw === null) return [{ path: '(file)', value: 'nothing', fix: 'the file is empty, or has only comments: write the configuration into it', line: null }];
  const value = text ? '(a text)' : shown(issue.path, raw);
  return [{ path: dotted(issue.path), value, fix: issue.message, line: lineOf(issue.path) }];
}

export function dotted(path: readonly PropertyKey[]): string {
  const text = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return text === '' ? '(file)' : text.replace(/^\./, '');
}

const SECRET_NAME = /key|token|pass|secret|credential|auth/i;

/** What stands at a path, in short. Nothing is quoted where somebody may have put a secret by mistake. */
export function shown(path: readonly PropertyKey[], raw: unknown): string {
  const value = valueAt(raw, path);
  if (value === undefined) return '(nothing)';
  if (path.some((key) => SECRET_NAME.test(String(key)))) return '(not shown)';
  if (Array.isArray(value)) return '(a list)';
  if (value !== null && typeof value === 'object') return '(a map)';
  const text = JSON.stringify(value);
  if (/-----BEGIN|:\/\/[^/]*@/.test(text)) return '(not shown)';
  return shorten(text);
}

const shorten = (text: string): string => (text.length > 60 ? `${text.slice(0, 57)}...` : text);

export function valueAt(raw: unknown, path: readonly PropertyKey[]): unknown {
  let value: unknown = raw;
  for (const key of path) value = value !== null && typeof value === 'object' ? Reflect.get(value, key) : undefined;
  return value;
}
