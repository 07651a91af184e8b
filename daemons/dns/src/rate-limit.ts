// Response rate limiting: so many answers a second to one network over UDP, where the asker's address may be forged. What is above
// is cut (every second one, so that a true asker comes back over TCP) or not answered. Bounded memory; the clock comes in.

export type RateLimit = { readonly perSecond: number; readonly burst: number };
export type Admission = 'answer' | 'cut' | 'drop';

type Bucket = { tokens: number; atMs: number; over: number };

const NETWORKS_MAX = 4_096;

export function createRateLimiter({ perSecond, burst }: RateLimit): (address: string, nowMs: number) => Admission {
  const buckets = new Map<string, Bucket>();
  return (address, nowMs) => {
    const network = networkOf(address);
    const before = buckets.get(network);
    const tokens = before === undefined ? burst : Math.min(burst, before.tokens + ((nowMs - before.atMs) / 1_000) * perSecond);
    const admitted = tokens >= 1;
    const over = admitted ? 0 : (before?.over ?? 0) + 1;
    buckets.delete(network);
    buckets.set(network, { tokens: admitted ? tokens - 1 : tokens, atMs: nowMs, over });
    // The network that was quiet for longest has the fullest bucket: forgetting it loses least.
    if (buckets.size > NETWORKS_MAX) buckets.delete(buckets.keys().next().value ?? network);
    if (admitted) return 'answer';
    return over % 2 === 1 ? 'cut' : 'drop';
  };
}

/** The /24 of an IPv4 address, the first 56 bits of an IPv6 address: what one network can forge cheaply. */
function networkOf(address: string): string {
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
