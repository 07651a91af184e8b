// The words that every part shares. Two clocks that cannot be mixed, identifiers that cannot be swapped.

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** Milliseconds on one process's monotonic clock. Comparable only within one boot of one machine. */
export type MonoMs = Branded<number, 'MonoMs'>;
/** Milliseconds since 1970 on one machine's wall clock. Never compared with another machine's. */
export type WallMs = Branded<number, 'WallMs'>;
/** The fencing token: +1 on every change of holder and on every re-acquire after expiry. 0 means never granted. */
export type Epoch = Branded<number, 'Epoch'>;
/** A cluster that can serve the application, for example `r1`. */
export type RegionId = Branded<string, 'RegionId'>;
/** A PostgreSQL write-ahead-log position, as PostgreSQL prints it: `16/B374D848`. */
export type Lsn = Branded<string, 'Lsn'>;

/** Both clocks of one machine, read together. */
export type Now = { readonly monoMs: MonoMs; readonly wallMs: WallMs };

export const monoMs = (value: number): MonoMs => value as MonoMs;
export const wallMs = (value: number): WallMs => value as WallMs;
export const epoch = (value: number): Epoch => value as Epoch;
export const regionId = (value: string): RegionId => value as RegionId;
export const lsn = (value: string): Lsn => value as Lsn;

export const addMs = (at: MonoMs, durationMs: number): MonoMs => (at + durationMs) as MonoMs;

/** Byte offset of a log position, or null when the text is not one. */
export function lsnBytes(position: string): bigint | null {
  const slash = position.indexOf('/');
  const [high, low] = [hexWord(position, 0, slash), hexWord(position, slash + 1, position.length)];
  return high < 0 || low < 0 ? null : (BigInt(high) << 32n) + BigInt(low);
}

/** `a - b` in bytes; null when either is not a log position. Unknown is never rendered as 0. */
export function lsnDiffBytes(a: string | null, b: string | null): number | null {
  if (a === null || b === null) return null;
  const [slashA, slashB] = [a.indexOf('/'), b.indexOf('/')];
  const [highA, lowA] = [hexWord(a, 0, slashA), hexWord(a, slashA + 1, a.length)];
  const [highB, lowB] = [hexWord(b, 0, slashB), hexWord(b, slashB + 1, b.length)];
  if (highA < 0 || lowA < 0 || highB < 0 || lowB < 0) return null;
  return (highA - highB) * 2 ** 32 + (lowA - lowB);
}

/** One to eight hexadecimal digits; -1 when it is something else. By hand: a prober does it thousands of times a second. */
function hexWord(text: string, from: number, to: number): number {
  if (to <= from || to - from > 8) return -1;
  let word = 0;
  for (let index = from; index < to; index++) {
    const code = text.charCodeAt(index);
    const digit = code <= 57 ? code - 48 : (code | 32) - 87;
    if (digit < 0 || digit > 15 || (code > 57 && digit < 10)) return -1;
    word = word * 16 + digit;
  }
  return word;
}
