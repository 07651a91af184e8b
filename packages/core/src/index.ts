// The pure core: no I/O, clock, randomness, promise or logger (tsconfig and linter prove it).

export * from './assert.ts';
export * from './types.ts';
export * from './lease/types.ts';
export * from './lease/lease.ts';
export * from './dns/address.ts';
export * from './dns/lua.ts';
export * from './dns/records.ts';
export * from './dns/names.ts';
export * from './dns/version-gate.ts';
export * from './dns/locations.ts';
export * from './dns/placement.ts';
export * from './dns/publication.ts';
export * from './dns/attestation.ts';
export * from './dns/quorum.ts';
export * from './gate/verdict.ts';
export * from './gate/probe.ts';
export * from './policy.ts';
export * from './replication/observation.ts';
export * from './failover/state.ts';
export * from './failover/decide.ts';
export { darknessWindowMs, deriveFallback, fallbackProblem } from './failover/fallback.ts';
export { Draft } from './failover/draft.ts';
export { gateObservation } from './failover/gate-observation.ts';
export type { GateWord, GivenDirective } from './failover/gate-observation.ts';
export { takeoverConditions, targetConditions } from './failover/conditions.ts';
export * from './invariants.ts';
