// Who watches which cluster, when several probers share the work: rendezvous hashing, so that a prober that comes or goes
// moves only the clusters that it gains or leaves behind. Every prober computes the same from the same list of the living.

/** The prober that watches this cluster; null when nobody lives. */
export function ownerOf(cluster: string, living: readonly string[]): string | null {
  let [owner, best]: [string | null, number] = [null, -1];
  for (const prober of [...living].sort()) {
    const weight = hash(`${prober}\u0000${cluster}`);
    if (weight > best) [owner, best] = [prober, weight];
  }
  return owner;
}

/** FNV-1a over UTF-16 units, then mixed (murmur3's finalizer): near names must not get near numbers. */
export function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
