// A text of a megabyte, for whoever asks about a thousand clusters at once. As one string, and as the lines that it is made
// of, it would be several megabytes of V8's heap, which a prober then keeps; as parts outside it is one, for a moment.

import { setImmediate as nextTurn } from 'node:timers/promises';

const PART_LENGTH = 8 * 1_024;
/** So many are done in one turn of the event loop: looks go on in between. */
const AT_ONCE = 32;

export class LongText {
  readonly #parts: Buffer[] = [];
  #open = '';

  add(text: string): void {
    this.#open += text;
    if (this.#open.length >= PART_LENGTH) this.#close();
  }

  /** All of it. */
  parts(): readonly Buffer[] {
    this.#close();
    return this.#parts;
  }

  #close(): void {
    if (this.#open !== '') this.#parts.push(Buffer.from(this.#open));
    this.#open = '';
  }
}

/** Of what there is at the beginning: what is replaced meanwhile is not taken twice. */
export async function inPortions<T>(items: Iterable<T>, take: (item: T) => void): Promise<void> {
  let count = 0;
  for (const item of [...items]) {
    if (++count % AT_ONCE === 0) await nextTurn();
    take(item);
  }
}
