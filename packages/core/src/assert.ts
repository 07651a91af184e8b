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

export function assert(condition: boolean, code: string, detail = ''): asserts condition {
  if (!condition) throw new AssertionError(`CTM_ASSERT_${code}`, detail);
}

/** For a `switch` that must name every member of a union. */
export function unreachable(value: never): never {
  throw new AssertionError('CTM_ASSERT_UNREACHABLE', JSON.stringify(value));
}
