// Recursive resolvers: as voters, and as one client sees them.

export * from './resolvers.ts';
export * from './caching-client.ts';
