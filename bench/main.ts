// `npm run bench -- NAME --report FILE`: measures, beside the peers, in one run. Nothing here is asserted in a test.

import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { stopAll } from '../test/rig/process.ts';
import { benchDarkness } from './darkness.ts';
import { benchDns } from './dns.ts';
import { benchFailover } from './failover.ts';
import { benchLag } from './lag.ts';
import { benchQuorum } from './quorum.ts';
import { table } from './report.ts';
import type { BenchReport } from './report.ts';
import { benchSim } from './sim.ts';

type Sizes = { readonly kills: number; readonly switchovers: number; readonly peerKills: number; readonly flips: number; readonly quick: boolean };

const BENCHES: Readonly<Record<string, (sizes: Sizes, say: (line: string) => void) => Promise<BenchReport>>> = {
  failover: (sizes, say) => benchFailover({ ...sizes, say }),
  darkness: (sizes, say) => benchDarkness({ ...sizes, say }),
  dns: (sizes, say) => benchDns({ flips: sizes.flips, say }),
  lag: ({ quick }, say) => benchLag(quick, say),
  quorum: (_, say) => benchQuorum(say),
  sim: (_, say) => benchSim({ runs: SIM_RUNS, states: SIM_STATES, threads: availableParallelism(), say }),
};

/** Of the `sim` bench: runs of the test profile, and states of the exhaustive search. */
const SIM_RUNS = 3;
const SIM_STATES = 1_000_000;

const USAGE = `npm run bench -- NAME [options]
  names: ${Object.keys(BENCHES).join(', ')}
  --report FILE      the rows as JSON
  --kills N          kills per objective (20)
  --switchovers N    switchovers (20)
  --peer-kills N     kills and switchovers of the peer per setting (3)
  --flips N          of the dns bench, each of two ways (100)
  --quick            of the lag bench: under three minutes`;

await main();

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      report: { type: 'string' },
      kills: { type: 'string', default: '20' },
      switchovers: { type: 'string', default: '20' },
      'peer-kills': { type: 'string', default: '3' },
      flips: { type: 'string', default: '100' },
      quick: { type: 'boolean', default: false },
    },
  });
  const bench = BENCHES[positionals[0] ?? ''];
  const counts = { kills: Number(values.kills), switchovers: Number(values.switchovers), peerKills: Number(values['peer-kills']), flips: Number(values.flips) };
  if (bench === undefined || positionals.length !== 1 || Object.values(counts).some((size) => !Number.isInteger(size) || size < 0)) {
    process.stderr.write(`${USAGE}\n`);
    process.exit(2);
  }
  try {
    const report = await bench({ ...counts, quick: values.quick }, (line) => process.stderr.write(`${line}\n`));
    process.stdout.write(`${table(report)}\n`);
    if (values.report !== undefined) writeFileSync(resolve(values.report), `${JSON.stringify(report, null, 2)}\n`);
    if (report.rows.some((one) => one.met === false)) process.exitCode = 1;
  } finally {
    await stopAll();
  }
}
