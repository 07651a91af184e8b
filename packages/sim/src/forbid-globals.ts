// While a run is under way nothing may ask the real world for time, chance or waiting: each of these throws. A core that
// learned to look at a clock would be found by its first simulated second.

const FORBIDDEN = [
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'fetch',
  'crypto',
  'performance',
] as const;

/** Returns what allows them again. */
export function forbidGlobals(): () => void {
  const restores: (() => void)[] = [];
  const scope = globalThis as unknown as Record<string, unknown>;
  for (const name of FORBIDDEN) restores.push(replace(scope, name, () => refuse(name)));
  restores.push(replace(Math as unknown as Record<string, unknown>, 'random', () => refuse('Math.random')));
  const date = scope['Date'] as unknown as Record<string, unknown>;
  restores.push(replace(date, 'now', () => refuse('Date.now')));
  return () => {
    for (const restore of restores.reverse()) restore();
  };
}

function refuse(name: string): never {
  throw new Error(`${name} was used inside a simulated run; time and chance come in as data`);
}

function replace(scope: Record<string, unknown>, name: string, throws: () => never): () => void {
  const descriptor = Object.getOwnPropertyDescriptor(scope, name);
  if (descriptor === undefined) return () => undefined;
  const isFunction = typeof (descriptor.value ?? undefined) === 'function';
  Object.defineProperty(scope, name, isFunction ? { ...descriptor, value: throws } : { configurable: true, get: throws });
  return () => Object.defineProperty(scope, name, descriptor);
}
