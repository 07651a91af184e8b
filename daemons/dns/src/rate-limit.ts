// Response rate limiting: so many answers a second to one network. Over UDP, where the asker's address may be forged, what is above is cut
// and never left unanswered: else whoever asks in a resolver's name could keep its own questions from being answered, and a cut answer
// is no longer than its question. Bounded memory; the clock comes in.

export type RateLimit = { readonly perSecond: number; readonly burst: number };

type Bucket = { tokens: number; atMs: number };

const NETWORKS_MAX = 4_096;

/** Whether one more answer to the network of an address is within its share. */
export function createRateLimiter({ perSecond, burst }: RateLimit): (address: string, nowMs: number) => boolean {
  const buckets = new Map<string, Bucket>();
  return (address, nowMs) => {
    const network = networkOf(address);
    const before = buckets.get(network);
    const tokens = before === undefined ? burst : Math.min(burst, before.tokens + ((nowMs - before.atMs) / 1_000) * perSecond);
    const admitted = tokens >= 1;
    buckets.delete(network);
    buckets.set(network, { tokens: admitted ? tokens - 1 : tokens, atMs: nowMs });
    // The network that was quiet for longest has the fullest bucket: forgetting it loses least.
    if (buckets.size > NETWORKS_MAX) buckets.delete(buckets.keys().next().value ?? network);
    return admitted;
  };
}

/** The /24 of an IPv4 address, the first 56 bits of an IPv6 address: what one network can forge cheaply. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address.slice(0, address.lastIndexOf('.'));
  const mapped = /^::ffff:(\d+\.\d+\.\d+)\.\d+$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = '', tail] = address.split('%')[0]?.split('::') ?? [];
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array.from({ length: zeros }, () => '0'), ...right].map((group) => group.padStart(4, '0'));
  return groups.join('').slice(0, 14);
}
