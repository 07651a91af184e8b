// What happens next. Events at the same time happen in the order in which they were asked for, so that a run depends on
// nothing but its seed.

/** Times are whole numbers of grains: the engine keeps those in the event itself, where a fraction would be an object of its own. */
export type ScheduledEvent = { readonly atGrains: number; readonly sequence: number; readonly run: () => void };

export class EventHeap {
  readonly #items: ScheduledEvent[] = [];
  #sequence = 0;

  get size(): number {
    return this.#items.length;
  }

  peek(): ScheduledEvent | undefined {
    return this.#items[0];
  }

  push(atGrains: number, run: () => void): void {
    const items = this.#items;
    const item: ScheduledEvent = { atGrains, sequence: this.#sequence++, run };
    let index = items.length;
    items.push(item);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = items[parent] as ScheduledEvent;
      if (!before(item, above)) break;
      items[index] = above;
      index = parent;
    }
    items[index] = item;
  }

  pop(): ScheduledEvent | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (first === undefined || last === undefined || items.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= items.length) break;
      const right = child + 1;
      if (right < items.length && before(items[right] as ScheduledEvent, items[child] as ScheduledEvent)) child = right;
      const below = items[child] as ScheduledEvent;
      if (!before(below, last)) break;
      items[index] = below;
      index = child;
    }
    items[index] = last;
    return first;
  }
}

function before(a: ScheduledEvent, b: ScheduledEvent): boolean {
  return a.atGrains < b.atGrains || (a.atGrains === b.atGrains && a.sequence < b.sequence);
}
