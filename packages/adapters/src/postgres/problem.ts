// Inside the adapter a failure of the outside world travels as a `DatabaseProblem`; at the port it becomes a value.
// Anything else that is thrown is a programmer error and goes through.

import { failure, success } from '@continuum/ports';
import type { Result } from '@continuum/ports';

export type DatabaseProblemCode =
  | 'CTM_EPOCH_STALE'
  /** The signal ended first. What was under way may still complete; every call may be repeated. */
  | 'CTM_DATABASE_TIMEOUT'
  | 'CTM_DATABASE_UNREACHABLE'
  /** What answers there does not speak the protocol, or says more than anybody could have asked for. */
  | 'CTM_DATABASE_GARBAGE'
  | 'CTM_DATABASE_SQL'
  | 'CTM_DATABASE_FILE'
  | 'CTM_DATABASE_EPOCH_CORRUPT'
  | 'CTM_DATABASE_START_FAILED'
  /** The server says that the cluster itself cannot come up: only a new copy helps. */
  | 'CTM_DATABASE_DAMAGED'
  | 'CTM_DATABASE_PORT_IN_USE'
  /** A process may be the server of this directory, and this user may not look at it: nothing is done. */
  | 'CTM_DATABASE_SERVER_UNSEEN'
  | 'CTM_DATABASE_EMPTY'
  | 'CTM_DATABASE_NOT_PRIMARY'
  | 'CTM_DATABASE_NOT_CLEAN'
  | 'CTM_DATABASE_TOKEN_MISMATCH'
  | 'CTM_DATABASE_FOREIGN_CLUSTER'
  /** The register still counts on what this member has, and becoming a standby would take it away. */
  | 'CTM_DATABASE_WOULD_DISCARD'
  | 'CTM_DATABASE_SOURCE_UNREACHABLE'
  | 'CTM_DATABASE_SOURCE_NOT_PRIMARY'
  /** It is a primary, and nobody has proved its promotion under the epoch that is acted upon: it may yet be refused. */
  | 'CTM_DATABASE_SOURCE_UNPROVED'
  | 'CTM_DATABASE_TOOL_FAILED'
  | 'CTM_DATABASE_STANDBY_MISSING'
  | 'CTM_DATABASE_STANDBY_NAME_INVALID'
  | 'CTM_DATABASE_SETTING_WEAK';

export class DatabaseProblem extends Error {
  readonly code: DatabaseProblemCode;
  constructor(code: DatabaseProblemCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'DatabaseProblem';
    this.code = code;
  }
}

/** Runs one call of the port. `step` tells where it was when the signal ended. */
export async function asResult<T>(
  call: string,
  signal: AbortSignal,
  step: () => string,
  work: () => Promise<T>,
): Promise<Result<T>> {
  try {
    signal.throwIfAborted();
    return success(await work());
  } catch (error) {
    if (error instanceof DatabaseProblem) return failure(error.code, `${call}: ${error.message}`, error.cause);
    if (signal.aborted) {
      return failure('CTM_DATABASE_TIMEOUT', `${call}: out of time while: ${step()}; it may still complete`, error);
    }
    const problem = fromOutside(error);
    if (problem === null) throw error;
    return failure(problem.code, `${call}: ${problem.message} (while: ${step()})`, error);
  }
}

/** Recognizes an error of the server, of the network or of the disk; null for everything else. */
export function fromOutside(error: unknown): { code: DatabaseProblemCode; message: string } | null {
  if (error instanceof DatabaseProblem) return error;
  if (!(error instanceof Error)) return null;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (/^[0-9A-Z]{5}$/.test(code) && 'severity' in error) {
    return { code: 'CTM_DATABASE_SQL', message: `${error.message} (SQLSTATE ${code})` };
  }
  if (/^(ECONN|ETIMEDOUT|EHOST|ENET|EPIPE|EADDR)/.test(code) || error.message.startsWith('Connection terminated')) {
    return { code: 'CTM_DATABASE_UNREACHABLE', message: error.message };
  }
  if ('syscall' in error) return { code: 'CTM_DATABASE_FILE', message: error.message };
  return null;
}
