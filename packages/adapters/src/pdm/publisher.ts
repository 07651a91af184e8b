// Publishes through a Pool Domain Manager, where it and not Continuum owns the name servers of a pool: one commit holds the
// parent zone and every record set, and is taken whole or not at all. The caller gives each change a key of its own, so that a
// commit whose answer was lost can be sent again and is carried out once. The content cannot be the key: a change that is
// taken back later would be taken for the first one's repetition, and nothing would happen.

import { request } from 'undici';
import { z } from 'zod';
import type { Rrset } from '@continuum/core';
import type { Failure, Result } from '@continuum/ports';
import { failure, success } from '@continuum/ports';

export type PdmOptions = {
  /** Origin of the manager. */
  readonly url: string;
  /** Sent as a bearer token; stands in no message. A function is asked before every commit. */
  readonly token: string | (() => string);
  /** At most so long for one commit. */
  readonly timeoutMs?: number;
};

export type Commit = {
  readonly id: string;
  /** Of the parent zone, afterwards. */
  readonly serial: number;
  /** False when this very change was committed before. */
  readonly written: boolean;
};

export type Change = {
  /** The same for every try of one change, new for the next one. Kept where it outlives the process, before the first try. */
  readonly key: string;
  readonly rrsets: readonly Rrset[];
  /** Names that are to answer no more. */
  readonly retired?: readonly string[];
};

/**
 * Failure codes: `CTM_PDM_UNREACHABLE`, `CTM_PDM_TIMEOUT` (unknown whether written: commit again), `CTM_PDM_UNAUTHORIZED`,
 * `CTM_PDM_FORBIDDEN` (not this zone), `CTM_PDM_ZONE_MISSING`, `CTM_PDM_CONFLICT` (somebody else's commit is newer),
 * `CTM_PDM_INVALID` (it will not take these records), `CTM_PDM_BUSY` (later), `CTM_PDM_ERROR`, `CTM_PDM_REPLY_INVALID`.
 */
export type PdmPublisher = {
  readonly commit: (parentZone: string, change: Change, signal: AbortSignal) => Promise<Result<Commit>>;
};

const TIMEOUT_MS = 5_000;
const REPLY_BYTES_MAX = 65_536;
const TEXT_LENGTH_MAX = 300;

const committed = z.object({ id: z.string().max(128), serial: z.number().int().nonnegative(), written: z.boolean() });
const problem = z.object({ type: z.string().max(200), title: z.string().max(TEXT_LENGTH_MAX).optional(), detail: z.string().max(2_000).optional() });

/** By the last part of the problem's type; the status decides for types that are not known. */
const CODE_OF_TYPE: Readonly<Record<string, string>> = {
  unauthorized: 'CTM_PDM_UNAUTHORIZED',
  forbidden: 'CTM_PDM_FORBIDDEN',
  'zone-missing': 'CTM_PDM_ZONE_MISSING',
  conflict: 'CTM_PDM_CONFLICT',
  'record-invalid': 'CTM_PDM_INVALID',
  busy: 'CTM_PDM_BUSY',
};
const CODE_OF_STATUS: Readonly<Record<number, string>> = {
  400: 'CTM_PDM_INVALID',
  401: 'CTM_PDM_UNAUTHORIZED',
  403: 'CTM_PDM_FORBIDDEN',
  404: 'CTM_PDM_ZONE_MISSING',
  409: 'CTM_PDM_CONFLICT',
  422: 'CTM_PDM_INVALID',
  429: 'CTM_PDM_BUSY',
  503: 'CTM_PDM_BUSY',
};

export function createPdmPublisher(options: PdmOptions): PdmPublisher {
  const { timeoutMs = TIMEOUT_MS } = options;
  return {
    commit: async (parentZone, { key, rrsets, retired = [] }, signal) => {
      const body = JSON.stringify({
        parentZone,
        // Whose records these are: at a name without any, what was there goes.
        names: [...new Set([...rrsets.map(({ name }) => name), ...retired])],
        records: rrsets.map(({ name, type, ttlSeconds, records }) => ({ name, type, ttl: ttlSeconds, contents: records })),
      });
      const sent = await post(options, key, body, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]));
      if (!sent.ok) return sent;
      const { status, text, json } = sent.value;
      if (status !== 200 && status !== 201) return refused(status, json);
      const parsed = committed.safeParse(json);
      return parsed.success ? success(parsed.data) : failure('CTM_PDM_REPLY_INVALID', `status ${status} with ${text.slice(0, TEXT_LENGTH_MAX)}`);
    },
  };
}

/** `text`: as it may stand in a message. */
type Answer = { readonly status: number; readonly text: string; readonly json: unknown };

async function post({ url, token: given }: PdmOptions, key: string, body: string, signal: AbortSignal): Promise<Result<Answer>> {
  const path = `${url.replace(/\/$/, '')}/v1/commit`;
  const token = typeof given === 'string' ? given : given();
  if (token === '') return failure('CTM_PDM_UNAUTHORIZED', `POST ${path}: the token is empty; use that of this manager`);
  try {
    const response = await request(path, {
      method: 'POST',
      signal,
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'idempotency-key': key,
      },
      body,
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response.body) {
      bytes += (chunk as Buffer).length;
      if (bytes > REPLY_BYTES_MAX) return failure('CTM_PDM_REPLY_INVALID', `more than ${REPLY_BYTES_MAX} bytes`);
      chunks.push(chunk as Buffer);
    }
    const said = Buffer.concat(chunks).toString('utf8');
    // What repeats the request, as a proxy may, repeats the token; and a refusal is quoted.
    const text = said.replaceAll(token, '(token)');
    return success({ status: response.statusCode, text, json: parseJson(response.statusCode < 300 ? said : text) });
  } catch (cause) {
    if (signal.aborted) return failure('CTM_PDM_TIMEOUT', `POST ${path}: no answer in time; it may have been carried out`, cause);
    return failure('CTM_PDM_UNREACHABLE', `POST ${path}: ${(cause as { code?: string }).code ?? (cause as Error).message}`, cause);
  }
}

function refused(status: number, json: unknown): { ok: false; failure: Failure } {
  const parsed = problem.safeParse(json);
  const type = parsed.success ? (parsed.data.type.split(/[/:#]/).at(-1) ?? '') : '';
  const code = (Object.hasOwn(CODE_OF_TYPE, type) ? CODE_OF_TYPE[type] : CODE_OF_STATUS[status]) ?? 'CTM_PDM_ERROR';
  const words = parsed.success ? [parsed.data.title, parsed.data.detail].filter((one) => one !== undefined).join(': ') : 'no problem document';
  return failure(code, `HTTP ${status}: ${words.slice(0, TEXT_LENGTH_MAX)}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
