// `npm run demo`: two regions of real parts, one of them killed, and proof of what happened. Exit code 0 only if every
// promise held.

import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { checkTimings, deriveTimings } from '@continuum/core';
import { runFolder, stopAll } from '../rig/process.ts';
import { REGIONS, startSite } from '../rig/site.ts';
import type { Site } from '../rig/site.ts';
import { createLiveView } from './live-view.ts';
import { createPicture } from './picture.ts';
import { renderReport } from './report-html.ts';
import { runDemo } from './run.ts';
import { duration } from './timeline.ts';
import type { DemoReport } from './timeline.ts';

const USAGE = `npm run demo -- [options]
  --rto 10s                  recovery time objective; every timing follows from it (2s to 10m)
  --once failover|switchover only that part
  --report FILE              the result as JSON
  --html FILE                the picture (report.html when not given)
  --keep                     leave everything running and print the addresses; Ctrl-C ends it`;

await main();

async function main(): Promise<void> {
  const options = readOptions();
  const { ttlMs } = deriveTimings(options.rtoMs);
  const folder = runFolder('demo');
  const view = createLiveView(process.stdout);
  const picture = createPicture(view, ttlMs);
  let site: Site | null = null;
  try {
    picture.say(`objective ${duration(options.rtoMs)}, lease ${duration(ttlMs)}: starting real parts`);
    const started = await startSite({ folder, rtoMs: options.rtoMs, say: picture.say });
    site = started;
    picture.say('both regions run: r1 serves, r2 is in sync');
    const { timeline, report } = await runDemo({
      site,
      rtoMs: options.rtoMs,
      once: options.once,
      say: picture.say,
      onWrite: (write) => picture.counted(write.outcome, write.endMs),
      onSample: (sampler) => picture.sampled(started, sampler),
    });
    picture.stop();
    view.close();
    writeFileSync(options.html, renderReport(timeline, report));
    if (options.report !== null) writeFileSync(options.report, `${JSON.stringify(report, null, 2)}\n`);
    process.stdout.write(`\n${verdict(report)}\n  picture: ${options.html}\n`);
    process.exitCode = report.ok ? 0 : 1;
    if (options.keep) await keep(site);
  } finally {
    picture.stop();
    view.close();
    await site?.stop();
    await stopAll();
  }
}

type Options = {
  readonly rtoMs: number;
  readonly once: 'failover' | 'switchover' | null;
  readonly report: string | null;
  readonly html: string;
  readonly keep: boolean;
};

function readOptions(): Options {
  const problems: string[] = [];
  const parsed = parse(problems);
  const rto = parsed['rto'] ?? '10s';
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(String(rto));
  const rtoMs = match === null ? NaN : Number(match[1]) * { ms: 1, s: 1_000, m: 60_000 }[match[2] as 'ms' | 's' | 'm'];
  if (Number.isNaN(rtoMs)) problems.push(`--rto ${String(rto)}: use a duration such as 5s, 10s or 30s`);
  else if (rtoMs < 2_000 || rtoMs > 600_000) problems.push(`--rto ${String(rto)}: use 2s to 10m`);
  else problems.push(...checkTimings(deriveTimings(rtoMs), rtoMs).map((one) => `--rto ${String(rto)}: ${one.field} ${one.problem}`));
  const once = parsed['once'] ?? null;
  if (once !== null && once !== 'failover' && once !== 'switchover') problems.push(`--once ${String(once)}: use failover or switchover`);
  if (problems.length > 0) {
    process.stderr.write(`${problems.join('\n')}\n\n${USAGE}\n`);
    process.exit(2);
  }
  return {
    rtoMs,
    once: once as Options['once'],
    report: parsed['report'] === undefined ? null : resolve(String(parsed['report'])),
    html: resolve(String(parsed['html'] ?? 'report.html')),
    keep: parsed['keep'] === true,
  };
}

function parse(problems: string[]): Record<string, string | boolean | undefined> {
  const options = {
    rto: { type: 'string' },
    once: { type: 'string' },
    report: { type: 'string' },
    html: { type: 'string' },
    keep: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  } as const;
  try {
    const { values } = parseArgs({ options });
    if (values.help === true) {
      process.stdout.write(`${USAGE}\n`);
      process.exit(0);
    }
    return values;
  } catch (error) {
    problems.push((error as Error).message);
    return {};
  }
}

function verdict(report: DemoReport): string {
  const { writes } = report;
  const checks = report.checks.map((one) => `  ${one.passed ? 'ok    ' : 'BROKEN'}  ${one.name}\n            ${one.evidence}`);
  const events = report.events.map((event) => {
    const phases = event.phases.map((phase) => `${phase.name} ${duration(phase.endMs - phase.startMs)}`).join(', ');
    const rto = event.rtoMs === null ? '' : `, first write after ${duration(event.rtoMs)}`;
    const gap = event.kind === 'rejoin' ? '' : `, longest gap ${duration(event.writeGapMs)}, ${event.failedRequests} requests failed`;
    return `  ${event.kind}: epoch ${event.epochBefore} -> ${event.epochAfter}${rto}${gap}\n            ${phases}`;
  });
  return [
    ...events,
    `  writes: ${writes.acknowledged} acknowledged, ${writes.unknown} unknown, ${writes.refused} refused; ${writes.lost} lost, ${writes.duplicated} duplicated`,
    ...checks,
    `\n  ${report.ok ? 'EVERY PROMISE HELD' : 'A PROMISE BROKE'}`,
  ].join('\n');
}

/** Leaves everything running until Ctrl-C. */
async function keep(site: Site): Promise<void> {
  const lines = [
    `  application  ${site.dnsName} port ${site.gatewayPort} (resolvers ${site.resolvers.map(({ server }) => `${server.address}:${server.port ?? 53}`).join(', ')})`,
    `  witness      ${site.witness().url}`,
    ...REGIONS.map((name) => `  ${name}           API ${site.regions[name].api}; npm run continuum -- status --config ${site.regions[name].configFile}`),
    '  Ctrl-C ends everything',
  ];
  process.stdout.write(`\n${lines.join('\n')}\n`);
  // Signal handlers of the rig stop every process; nothing else ends this wait.
  await new Promise<never>(() => setInterval(() => undefined, 60_000));
}
