// One thread of a pool: takes the options of a seed, runs it, sends back what it was.

import { parentPort } from 'node:worker_threads';
import type { RunOptions } from './run.ts';
import { runSeed } from './run.ts';

parentPort?.on('message', (options: RunOptions) => {
  parentPort?.postMessage(runSeed(options));
});
