// Loads another version of the core beside this one and runs seeds with both until an invariant breaks. Odd seeds begin with this
// version, even ones with the other. Prints one line of JSON.

import type { CoreVersion } from './core-version.ts';
import { THIS_VERSION } from './core-version.ts';
import type { RunOptions } from './run.ts';
import { runSeed } from './run.ts';
import { renderText } from './timeline.ts';
import type { UpgradeReport } from './upgrade.ts';

const MS_PER_HOUR = 3_600_000;
const LAST_LINES = 60;

const [index = '', firstSeed = '1', hoursMax = '1', alone = 'false'] = process.argv.slice(2);
// Before any run: while one is under way, nothing may be loaded.
const other = (await import(index)) as CoreVersion;

const report = { hours: 0, failovers: 0, switchovers: 0, marks: {} as Record<string, number>, violation: null as UpgradeReport['violation'] };
for (let seed = Number(firstSeed); report.hours < Number(hoursMax) && report.violation === null; seed++) {
  const options = optionsFor(seed);
  const result = runSeed(options);
  report.hours += result.simulatedMs / MS_PER_HOUR;
  report.failovers += result.failovers;
  report.switchovers += result.switchovers;
  for (const [mark, count] of Object.entries(result.marks)) report.marks[mark] = (report.marks[mark] ?? 0) + count;
  const violation = result.violation ?? (seed === Number(firstSeed) ? repeated(options, result.logHash) : null);
  if (violation === null) continue;
  const trace = renderText(runSeed({ ...options, traced: true }).trace ?? [], LAST_LINES);
  report.violation = { seed, invariant: violation.invariant, detail: violation.detail, trace };
}
process.stdout.write(JSON.stringify(report));

function optionsFor(seed: number): RunOptions {
  const beside: CoreVersion = alone === 'true' ? { ...other } : THIS_VERSION;
  return { seed, hours: 1, overrides: { versions: seed % 2 === 0 ? [other, beside] : [beside, other] } };
}

/** The first seed runs twice: with two versions, too, a seed is the whole run. */
function repeated(options: RunOptions, logHash: string): { invariant: string; detail: string } | null {
  const second = runSeed(options).logHash;
  return second === logHash ? null : { invariant: 'DETERMINISM', detail: `log hash ${logHash}, then ${second}` };
}
