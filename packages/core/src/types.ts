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

const LSN = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i;

/** Byte offset of a log position, or null when the text is not one. */
export function lsnBytes(position: string): bigint | null {
  const match = LSN.exec(position);
  if (match === null) return null;
  return (BigInt(`0x${match[1]}`) << 32n) + BigInt(`0x${match[2]}`);
}

/** `a - b` in bytes; null when either is not a log position. Unknown is never rendered as 0. */
export function lsnDiffBytes(a: string | null, b: string | null): number | null {
  if (a === null || b === null) return null;
  const [left, right] = [lsnBytes(a), lsnBytes(b)];
  return left === null || right === null ? null : Number(left - right);
}
