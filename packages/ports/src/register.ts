// The linearizable register outside all regions that keeps the lease.

import type { LeaseCommand, LeaseEventKind, LeaseReply, LeaseView } from '@continuum/core';
import type { Result } from './result.ts';

export type LeasePush = { readonly event: LeaseEventKind; readonly view: LeaseView };

export interface RegisterPort {
  /**
   * Sends one command and returns the register's own verified reply. A refusal is a reply, not a failure.
   * A failure means *unknown*: the command may or may not have been carried out. Codes: `CTM_REGISTER_UNREACHABLE`,
   * `CTM_REGISTER_TIMEOUT`, `CTM_REGISTER_REPLY_INVALID` (bad signature, other nonce, not the protocol),
   * `CTM_REGISTER_REJECTED` (the register refused to look at it: signature, schema; final, an operator is needed).
   */
  send(command: LeaseCommand, signal: AbortSignal): Promise<Result<LeaseReply>>;
  /** The lease as this region sees it now, read at the register, never from a cache. Same failures as `send`. */
  read(signal: AbortSignal): Promise<Result<LeaseView>>;
  /**
   * Pushed events, reconnecting by itself with back-off until the signal aborts. Nothing may depend on their arrival:
   * they may be lost, late, doubled or out of order (`revision` orders them).
   */
  watch(onPush: (push: LeasePush) => void, signal: AbortSignal): void;
}
