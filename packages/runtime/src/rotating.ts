// A key in a file that somebody replaces while the process runs. What cannot be used for a moment, because it is being written, leaves
// the last one in force: a broken file must not end a daemon that a good one keeps going.

export type Reading<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly message: string };

export type RotatingOptions<T> = {
  /** The file as it is now. Its message quotes nothing of it. */
  readonly read: () => Reading<T>;
  /** As read at the start. */
  readonly first: T;
  readonly same: (one: T, other: T) => boolean;
  readonly onRotated: () => void;
  /** Once for each reason; null when it can be used again. */
  readonly onProblem: (message: string | null) => void;
};

/** What is in force, after a look at the file. */
export function rotating<T>({ read, first, same, onRotated, onProblem }: RotatingOptions<T>): () => T {
  let last = first;
  let told: string | null = null;
  return () => {
    const reading = read();
    const problem = reading.ok ? null : reading.message;
    if (problem !== told) onProblem(problem);
    told = problem;
    if (!reading.ok || same(reading.value, last)) return last;
    last = reading.value;
    onRotated();
    return last;
  };
}
