// Many seeds over several threads. What a seed does depends on its options alone, so neither the number of threads nor their order
// changes a result.

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { RunOptions, RunResult } from './run.ts';
import { runSeed } from './run.ts';

/** Runs every job; `take` is called as each ends, in any order. `threads` 0: in this thread. */
export async function runAll(
  jobs: readonly RunOptions[],
  take: (index: number, result: RunResult) => void,
  threads: number = availableParallelism(),
): Promise<void> {
  if (threads === 0) return jobs.forEach((job, index) => take(index, runSeed(job)));
  const waiting = jobs.map((options, index) => ({ options, index }));
  await Promise.all(Array.from({ length: Math.min(threads, jobs.length) }, () => serve(waiting, take)));
}

/** One thread that takes jobs until there are none. */
function serve(waiting: { readonly options: RunOptions; readonly index: number }[], take: (index: number, result: RunResult) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./seed-worker.ts', import.meta.url));
    let current: (typeof waiting)[number] | undefined;
    const next = (): void => {
      current = waiting.shift();
      if (current === undefined) void worker.terminate().then(() => resolve(), reject);
      else worker.postMessage(current.options);
    };
    worker.on('message', (result: RunResult) => {
      if (current !== undefined) take(current.index, result);
      next();
    });
    worker.on('error', reject);
    next();
  });
}
