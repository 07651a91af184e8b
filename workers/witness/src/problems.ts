// Every way in which the witness can refuse to look at a request, as RFC 9457 problems. The codes are stable: runbooks and
// alerts use them. Refusals by the lease itself are not here: they are replies (`LeaseReply`), not problems.

import type { FieldProblem, Problem, SignatureProblem } from '@continuum/wire';

type Entry = { readonly status: number; readonly title: string; readonly retryable: boolean };

export const PROBLEMS = {
  CTM_WITNESS_SIGNATURE_MISSING: { status: 401, title: 'The request is not signed', retryable: false },
  CTM_WITNESS_SIGNATURE_MALFORMED: { status: 401, title: 'The signature does not cover what it must', retryable: false },
  CTM_WITNESS_SIGNATURE_FORGED: { status: 401, title: 'The signature does not fit the request', retryable: false },
  CTM_WITNESS_SIGNATURE_STALE: { status: 401, title: 'The request was signed too long ago', retryable: false },
  CTM_WITNESS_DIGEST_MISMATCH: { status: 401, title: 'The body is not the one that was signed', retryable: false },
  CTM_WITNESS_KEY_UNKNOWN: { status: 401, title: 'The key is not known, or no longer', retryable: false },
  CTM_WITNESS_REGION_FORBIDDEN: { status: 403, title: 'A key speaks only for its own region', retryable: false },
  CTM_WITNESS_ROUTE_UNKNOWN: { status: 404, title: 'There is no such route', retryable: false },
  CTM_WITNESS_LEASE_UNKNOWN: { status: 404, title: 'There is no such lease', retryable: false },
  CTM_WITNESS_BODY_INVALID: { status: 400, title: 'The body is not a lease command', retryable: false },
  CTM_WITNESS_BODY_TOO_LARGE: { status: 413, title: 'The body is too large', retryable: false },
  CTM_WITNESS_UPGRADE_REQUIRED: { status: 426, title: 'This route is a WebSocket', retryable: false },
  CTM_WITNESS_CONFIG_INVALID: { status: 500, title: 'The witness is not configured', retryable: false },
  CTM_WITNESS_RECORD_CORRUPT: { status: 500, title: 'The stored lease cannot be read', retryable: false },
  CTM_WITNESS_INTERNAL: { status: 500, title: 'The witness failed; the outcome is unknown', retryable: true },
  CTM_WITNESS_UNAVAILABLE: { status: 503, title: 'The lease cannot be reached; the outcome is unknown', retryable: true },
} as const satisfies Readonly<Record<string, Entry>>;

export type ProblemCode = keyof typeof PROBLEMS;

export const SIGNATURE_PROBLEMS: Readonly<Record<SignatureProblem, ProblemCode>> = {
  missing: 'CTM_WITNESS_SIGNATURE_MISSING',
  malformed: 'CTM_WITNESS_SIGNATURE_MALFORMED',
  forged: 'CTM_WITNESS_SIGNATURE_FORGED',
  stale: 'CTM_WITNESS_SIGNATURE_STALE',
  'digest-mismatch': 'CTM_WITNESS_DIGEST_MISMATCH',
  'key-unknown': 'CTM_WITNESS_KEY_UNKNOWN',
};

export function toProblem(code: ProblemCode, detail: string, fields?: readonly FieldProblem[]): Problem {
  const { status, title, retryable } = PROBLEMS[code];
  return {
    type: `urn:continuum:problem:${code}`,
    title,
    status,
    detail: detail.slice(0, 2_000),
    code,
    retryable,
    ...(fields === undefined ? {} : { fields: [...fields] }),
  };
}
