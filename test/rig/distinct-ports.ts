// One free port for each part of a site, the same in every region.

import { freePort } from './process.ts';

export async function distinctPorts<T extends string>(names: readonly T[], addresses: readonly string[]): Promise<[T, number][]> {
  const taken = new Set<number>();
  const found: [T, number][] = [];
  for (const name of names) {
    let port = await freePort(...addresses);
    while (taken.has(port)) port = await freePort(...addresses);
    taken.add(port);
    found.push([name, port]);
  }
  return found;
}
