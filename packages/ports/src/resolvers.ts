// The public resolvers as vantage points: what does the world see for a name?

export type ResolverAnswer =
  | { readonly resolver: string; readonly status: 'answered'; readonly addresses: readonly string[]; readonly ttlSeconds: number }
  /** Nothing usable: time-out, SERVFAIL, NXDOMAIN, empty. Never counted as "down". */
  | { readonly resolver: string; readonly status: 'abstained'; readonly reason: string };

export interface ResolversPort {
  /** Asks each resolver once, in parallel, each with its own deadline. One answer per configured resolver, in order. */
  resolve(name: string, signal: AbortSignal): Promise<readonly ResolverAnswer[]>;
}
