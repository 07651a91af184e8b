// Asserts that stay on in production. A failed one is a programmer error: the process ends, its lease runs out, and it
// is fenced. Operating errors (a refused command, a dead database) are values and never come through here.

/** A broken rule of the program itself. `code` is stable, `CTM_ASSERT_*`. */
export class AssertionError extends Error {
  readonly code: string;
  constructor(code: string, detail: string) {
    super(`${code}: ${detail}`);
    this.name = 'AssertionError';
    this.code = code;
  }
}

/** `detail` as a function is only called when the rule is broken: a time as text costs more than the rest of a decision's check. */
export function assert(condition: boolean, code: string, detail: string | (() => string) = ''): asserts condition {
  if (!condition) throw new AssertionError(`CTM_ASSERT_${code}`, typeof detail === 'string' ? detail : detail());
}

/** For a `switch` that must name every member of a union. */
export function unreachable(value: never): never {
  throw new AssertionError('CTM_ASSERT_UNREACHABLE', JSON.stringify(value));
}
