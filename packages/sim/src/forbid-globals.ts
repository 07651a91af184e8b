// While a run is under way nothing may ask the real world for time, chance or waiting: each of these throws. A core that
// learned to look at a clock would be found by its first simulated second.

export const FORBIDDEN = [
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'fetch',
  'crypto',
  'performance',
] as const;

/** A part of a run by itself, without them. */
export function withoutGlobals<T>(run: () => T): T {
  const allow = forbidGlobals();
  try {
    return run();
  } finally {
    allow();
  }
}

/** Returns what allows them again. */
export function forbidGlobals(): () => void {
  const restores: (() => void)[] = [];
  const scope = globalThis as unknown as Record<string, unknown>;
  for (const name of FORBIDDEN) restores.push(replace(scope, name, () => refuse(name)));
  restores.push(replace(Math as unknown as Record<string, unknown>, 'random', () => refuse('Math.random')));
  const date = scope['Date'] as DateConstructor;
  restores.push(replace(date as unknown as Record<string, unknown>, 'now', () => refuse('Date.now')));
  restores.push(replace(scope, 'Date', withoutNow(date)));
  return () => {
    for (const restore of restores.reverse()) restore();
  };
}

/** A date of a given time is data; one of no time given is the present. */
function withoutNow(date: DateConstructor): DateConstructor {
  return new Proxy(date, {
    apply: () => refuse('Date()'),
    construct: (target, given: unknown[], made) => (given.length === 0 ? refuse('new Date()') : (Reflect.construct(target, given, made) as Date)),
  });
}

function refuse(name: string): never {
  throw new Error(`${name} was used inside a simulated run; time and chance come in as data`);
}

function replace(scope: Record<string, unknown>, name: string, by: (() => never) | DateConstructor): () => void {
  const descriptor = Object.getOwnPropertyDescriptor(scope, name);
  if (descriptor === undefined) return () => undefined;
  const isFunction = typeof (descriptor.value ?? undefined) === 'function';
  Object.defineProperty(scope, name, isFunction ? { ...descriptor, value: by } : { configurable: true, get: by as () => never });
  return () => Object.defineProperty(scope, name, descriptor);
}
