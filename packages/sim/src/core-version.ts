// The version of the core that a process runs: its decisions, its lease, its gate. A world has one; while a rolling upgrade is under
// way it has two, and what one wrote the other reads.

import * as core from '@continuum/core';

export type CoreVersion = Pick<
  typeof core,
  | 'decide'
  | 'initialState'
  | 'leftMs'
  | 'deriveTimings'
  | 'newLease'
  | 'applyCommand'
  | 'viewLease'
  | 'leaseDeadlines'
  | 'newGate'
  | 'takeInstruction'
  | 'judge'
>;

export const THIS_VERSION: CoreVersion = core;
