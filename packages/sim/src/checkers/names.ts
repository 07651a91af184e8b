// I5, for every answer of a name server, worked out from what its probes found and from who was granted the lease: never empty; with
// somebody known to be up, never only those who are known not to be; with nobody known to be up, never without the last holder.

import { isAnswerSound } from '@continuum/core';
import type { Marks } from '../marks.ts';
import type { Simulation } from '../simulation.ts';

export class NamesChecker {
  readonly #sim: Simulation;
  readonly #marks: Marks;
  /** Who was granted the lease last; null when nobody ever was. */
  readonly #lastHolder: () => string | null;

  constructor(sim: Simulation, marks: Marks, lastHolder: () => string | null) {
    this.#sim = sim;
    this.#marks = marks;
    this.#lastHolder = lastHolder;
  }

  /** `probed`: per region, what the server's last finished probe said. Null: it answered with an error. */
  answered(server: string, regions: readonly string[] | null, probed: ReadonlyMap<string, boolean>, known: number): void {
    this.#sim.mix(regions?.length ?? 7);
    if (regions === null || regions.length === 0) this.#sim.violate('I5', `${server} answered nothing`);
    if (probed.size < known) this.#marks.set('answer-before-first-probe');
    if (regions.length > 1) this.#marks.set('answer-names-both-regions');
    const down = [...probed].flatMap(([region, isUp]) => (isUp ? [] : [region]));
    if (down.length < probed.size) {
      if (!isAnswerSound(regions, down)) this.#sim.violate('I5', `${server} names only ${regions.join()}, and its probes found ${down.join()} fenced`);
      return;
    }
    if (probed.size === known) this.#marks.set('answer-with-all-down');
    const last = this.#lastHolder();
    if (last !== null && !regions.includes(last)) this.#sim.violate('I5', `${server} has found nobody up and names ${regions.join()} without the last holder ${last}`);
  }
}
