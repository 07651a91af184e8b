// Operating errors are values. A port never throws for something that can happen in production.

/** A failure of the outside world. `code` is stable (`CTM_*`), `message` is for a tired operator and holds no secret. */
export type Failure = { readonly code: string; readonly message: string; readonly cause?: unknown };

export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: Failure };

export const success = <T>(value: T): Result<T> => ({ ok: true, value });
export const failure = (code: string, message: string, cause?: unknown): { ok: false; failure: Failure } => ({
  ok: false,
  failure: cause === undefined ? { code, message } : { code, message, cause },
});
