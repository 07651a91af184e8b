// The DNS quorum over real resolvers.

export * from './quorum.ts';
