// The pure core: no I/O, clock, randomness, promise or logger (tsconfig and linter prove it).

export * from './assert.ts';
export * from './types.ts';
export * from './lease/types.ts';
export * from './lease/lease.ts';
export * from './replication/observation.ts';
