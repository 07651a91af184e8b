// What a peer could not do. A bench reports it beside the figures of the others: it is no reason to lose theirs.

import { waitFor } from '../../test/rig/process.ts';

export class PeerProblem extends Error {
  override readonly name = 'PeerProblem';
}

/** `waitFor`, whose timeout is the peer's problem. */
export async function waitForPeer<T>(...[what, condition, options]: Parameters<typeof waitFor<T>>): Promise<T> {
  try {
    return await waitFor(what, condition, options);
  } catch (error) {
    throw new PeerProblem(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** Why the peer cannot be measured; throws what is a mistake of ours. */
export function peerReason(error: unknown): string {
  if (error instanceof PeerProblem) return error.message;
  // A database, a socket or a missing part says what happened by a code; so do Node's own complaints about its callers.
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (error instanceof Error && typeof code === 'string' && !code.startsWith('ERR_')) return `${code}: ${error.message}`;
  throw error;
}
