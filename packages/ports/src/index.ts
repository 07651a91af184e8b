// What the controller needs from the outside, one interface per port. Each has a contract suite in this package that
// every implementation passes. Adapters hold no policy: they do what they are told, within the deadline, or say why not.

export * from './result.ts';
export * from './register.ts';
export * from './database.ts';
export * from './traffic.ts';
export * from './resolvers.ts';
export * from './quorum.ts';
export * from './dns.ts';
