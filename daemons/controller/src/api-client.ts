// A controller's API as its command line sees it. Whatever answers there may be something else, or only half of it: each such answer
// is one line that says so, and never the trace of a program.

import { Agent, request } from 'undici';
import type { AuditEntry } from '@continuum/runtime';

export type Api = { readonly url: string; readonly token: string };

/** Ends the program. `refused`: the controller said no. `unreachable`: nobody said anything that can be used. */
export type Quit = (kind: 'refused' | 'usage' | 'unreachable', message: string) => never;

type Method = 'GET' | 'POST' | 'DELETE';

const REQUEST_TIMEOUT_MS = 10_000;
/** A status is a few kilobytes. */
const REPLY_BYTES_MAX = 4 * 1024 * 1024;
const EVENT_LENGTH_MAX = 1024 * 1024;
/** Without `follow`: what is there now, until the stream has nothing more to say for a moment. */
const QUIET_MS = 300;

/** Checked before anything is sent. The token is never quoted. */
export function checkApi({ url, token }: Api, quit: Quit): Api {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !/^https?:$/.test(parsed.protocol) || parsed.username !== '' || parsed.password !== '') {
    return quit('usage', '--api: use the address of a controller, for example http://127.0.0.1:8640, without a user');
  }
  if (!/^[\x21-\x7e]+$/.test(token)) return quit('usage', 'the token file: use one line of ASCII characters without spaces, as the controller has it');
  return { url: url.replace(/\/$/, ''), token };
}

/** The answer, which has the field `has`. */
export async function callApi<T extends object>(api: Api, quit: Quit, method: Method, path: string, has: keyof T & string, body?: object): Promise<T> {
  const answered = await exchange(api, method, path, body);
  if ('why' in answered) {
    // Only a refused connection proves that nothing was asked.
    const unknown = method === 'GET' || answered.why.includes('ECONNREFUSED') ? '' : '; it may have been asked all the same: see "continuum status"';
    return quit('unreachable', `no controller at ${api.url}: ${answered.why}${unknown}`);
  }
  const { status, text } = answered;
  if (status !== 200 && status !== 202) return refused(api, quit, status, text);
  const value = parseObject(text);
  return value !== null && has in value ? (value as T) : notOurs(api, quit, status);
}

async function exchange(api: Api, method: Method, path: string, body: object | undefined): Promise<{ status: number; text: string } | { why: string }> {
  const dispatcher = new Agent({ maxResponseSize: REPLY_BYTES_MAX });
  try {
    // The deadline is of the whole answer: one that comes byte by byte has an end too.
    const response = await request(`${api.url}${path}`, { ...head(api, method, body), dispatcher, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
    return { status: response.statusCode, text: await response.body.text() };
  } catch (error) {
    return { why: whyOf(error) };
  } finally {
    await dispatcher.destroy();
  }
}

/** Each entry as it comes, and its JSON text. Returns when there is nothing more now; with `follow` never. */
export async function followEvents(api: Api, quit: Quit, follow: boolean, each: (entry: AuditEntry, text: string) => void): Promise<void> {
  const quiet = new AbortController();
  const gone = (why: string) => () => quit('unreachable', `no controller at ${api.url}: ${why}`);
  const end = await stream(api, quit, follow, quiet, each).catch((error: unknown) => (quiet.signal.aborted ? null : gone(whyOf(error))));
  end?.();
}

/** Ends only with what is to be said of it. */
async function stream(api: Api, quit: Quit, follow: boolean, quiet: AbortController, each: (entry: AuditEntry, text: string) => void): Promise<() => never> {
  const again = (): NodeJS.Timeout | undefined => (follow ? undefined : setTimeout(() => quiet.abort(), QUIET_MS));
  const response = await request(`${api.url}/v1/events`, { ...head(api, 'GET', undefined), headersTimeout: REQUEST_TIMEOUT_MS, bodyTimeout: 0, signal: quiet.signal });
  const { statusCode } = response;
  if (statusCode !== 200) {
    const text = await response.body.text();
    return () => refused(api, quit, statusCode, text);
  }
  if (!String(response.headers['content-type']).startsWith('text/event-stream')) return () => notOurs(api, quit, statusCode);
  let timer = again();
  let buffer = '';
  for await (const chunk of response.body.setEncoding('utf8')) {
    clearTimeout(timer);
    const parts = `${buffer}${String(chunk)}`.split('\n\n');
    buffer = parts.pop() ?? '';
    if (buffer.length > EVENT_LENGTH_MAX) return () => notOurs(api, quit, statusCode);
    for (const part of parts) tell(part, each);
    timer = again();
  }
  clearTimeout(timer);
  throw new Error('it ended the stream');
}

function tell(part: string, each: (entry: AuditEntry, text: string) => void): void {
  const data = part.split('\n').find((line) => line.startsWith('data: '))?.slice('data: '.length) ?? '';
  const entry = parseObject(data);
  if (entry !== null) each(entry as AuditEntry, data);
}

function head({ token }: Api, method: Method, body: object | undefined): Omit<Parameters<typeof request>[1] & object, 'dispatcher'> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
}

function refused(api: Api, quit: Quit, status: number, text: string): never {
  const { code, detail } = (parseObject(text) ?? {}) as { code?: unknown; detail?: unknown };
  if (typeof code !== 'string' || typeof detail !== 'string') return notOurs(api, quit, status);
  return quit('refused', `${code}: ${detail}`);
}

const notOurs = (api: Api, quit: Quit, status: number): never =>
  quit('unreachable', `what answers at ${api.url} is not a controller of this version (status ${status}): check the address, and what stands before it`);

function whyOf(error: unknown): string {
  const { name, message, code } = error as { name: string; message: string; code?: string };
  if (name === 'TimeoutError') return `no whole answer within ${REQUEST_TIMEOUT_MS / 1_000} s`;
  return message === '' ? (code ?? name) : message;
}

function parseObject(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text);
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
