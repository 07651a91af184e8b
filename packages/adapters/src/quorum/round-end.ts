// The end of a round, and its half: one moment and one timer each, for all of its questions.

export type RoundEnd = {
  /** On `performance.now()`. */
  readonly startedMs: number;
  readonly atMs: number;
  /** Each is called once, when the moment has come; never when the round was over before. */
  readonly whenOver: (expire: () => void) => void;
  /** To be asked for when the round begins. */
  readonly atHalf: (call: () => void) => void;
  /** The round is over. */
  readonly clear: () => void;
};

export function createRoundEnd(timeoutMs: number): RoundEnd {
  const over: (() => void)[] = [];
  const half: (() => void)[] = [];
  const timer = setTimeout(callAll, timeoutMs, over);
  let halfTimer: NodeJS.Timeout | undefined;
  const startedMs = performance.now();
  return {
    startedMs,
    atMs: startedMs + timeoutMs,
    whenOver: (expire) => void over.push(expire),
    atHalf: (call) => {
      half.push(call);
      halfTimer ??= setTimeout(callAll, timeoutMs / 2, half);
    },
    clear: () => {
      clearTimeout(timer);
      clearTimeout(halfTimer);
    },
  };
}

function callAll(calls: readonly (() => void)[]): void {
  for (const call of calls) call();
}
