// One debouncer for every yes/no that is measured again and again (after gdnsd's monitor): three thresholds, so that one
// lost answer flips nothing, and a flapping one never becomes "up".

export type Thresholds = {
  /** Good looks in a row that make a "down" into an "up". */
  readonly up: number;
  /** Good looks in a row that forgive the bad ones while "up". */
  readonly ok: number;
  /** Bad looks, not forgiven in between, that make an "up" into a "down". */
  readonly down: number;
};

export const DEFAULT_THRESHOLDS: Thresholds = { up: 3, ok: 3, down: 2 };

export type Debounced = {
  readonly up: boolean;
  readonly goodInRow: number;
  readonly bad: number;
};

export const DEBOUNCED_DOWN: Debounced = { up: false, goodInRow: 0, bad: 0 };

/** `certain`: bad beyond doubt; goes down at once. */
export function debounce(state: Debounced, look: 'good' | 'bad' | 'certain', { up, ok, down }: Thresholds): Debounced {
  if (look === 'certain') return DEBOUNCED_DOWN;
  if (look === 'good') {
    const goodInRow = Math.min(state.goodInRow + 1, Math.max(up, ok));
    if (!state.up) return goodInRow >= up ? { up: true, goodInRow, bad: 0 } : { up: false, goodInRow, bad: 0 };
    return { up: true, goodInRow, bad: goodInRow >= ok ? 0 : state.bad };
  }
  if (!state.up) return DEBOUNCED_DOWN;
  const bad = state.bad + 1;
  return bad >= down ? DEBOUNCED_DOWN : { up: true, goodInRow: 0, bad };
}
