// Prints everything that was noted of some seeds, line by line, with the hash of the whole log of each: what two versions of Node, or
// two machines, must print alike.

import { runSeed } from './run.ts';
import { renderText } from './timeline.ts';

const [hours = 1, ...seeds] = process.argv.slice(2).map(Number);
for (const seed of seeds) {
  const { trace, logHash, events } = runSeed({ seed, hours, traced: true });
  process.stdout.write(`seed ${seed}\n${renderText(trace ?? [])}log hash ${logHash} of ${events} events\n`);
}
