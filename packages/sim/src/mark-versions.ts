// What happened to the lease while two versions of the core ran beside each other.

import type { World } from './world.ts';

export function watchVersions(world: World, before: { readonly failovers: number; readonly switchovers: number }): void {
  if (world.options.versions === null) return;
  const { lease, marks, regions, witness } = world;
  const running = new Set([witness.core, ...regions.flatMap(({ controller, gate }) => [controller.core, gate.core])]);
  if (running.size < 2) return;
  if (lease.failovers > before.failovers) marks.set('taken-over-with-two-versions');
  if (lease.switchovers > before.switchovers) marks.set('switched-over-with-two-versions');
}
