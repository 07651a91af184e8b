// `npm run demo`: two regions of real parts, one of them killed, and proof of what happened. Exit code 0 only if every
// promise held.

import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { checkTimings, deriveFallback, deriveTimings, fallbackProblem } from '@continuum/core';
import { runFolder, stopAll } from '../rig/process.ts';
import { REGIONS, startSite } from '../rig/site.ts';
import type { Site } from '../rig/site.ts';
import { startSiteOverDns } from '../rig/site-over-dns.ts';
import type { Act } from './acts.ts';
import { createLiveView } from './live-view.ts';
import { createPicture } from './picture.ts';
import type { Picture } from './picture.ts';
import { renderReport } from './report-html.ts';
import { runDemo } from './run.ts';
import type { DemoResult } from './run.ts';
import { duration } from './timeline.ts';
import type { DemoReport } from './timeline.ts';

const USAGE = `npm run demo -- [options]
  --rto 10s                  recovery time objective; every timing follows from it (2s to 10m)
  --once PART                only failover, switchover, witness-lost (killed while the holder lives, then with it) or dns-register
                             (a second site, whose lease lives in a DNS record)
  --report FILE              the result as JSON
  --html FILE                the picture (report.html when not given)
  --keep                     leave everything running and print the addresses; Ctrl-C ends it`;

/** What each part plays. Without --once, all of them. */
const ACTS: Readonly<Record<Exclude<Part, 'dns-register'>, readonly Act[]>> = {
  failover: ['kill', 'return'],
  switchover: ['switchover'],
  'witness-lost': ['witness-lost', 'holder-lost-too'],
};
const PARTS = ['failover', 'switchover', 'witness-lost', 'dns-register'] as const;

await main();

async function main(): Promise<void> {
  const options = readOptions();
  const { ttlMs } = deriveTimings(options.rtoMs);
  const view = createLiveView(process.stdout);
  const picture = createPicture(view, ttlMs);
  const stage: Stage = { options, picture, running: [] };
  try {
    const { timeline, report } = await play(stage);
    picture.stop();
    view.close();
    writeFileSync(options.html, renderReport(timeline, report));
    if (options.report !== null) writeFileSync(options.report, `${JSON.stringify(report, null, 2)}\n`);
    process.stdout.write(`\n${verdict(report)}\n  picture: ${options.html}\n`);
    process.exitCode = report.ok ? 0 : 1;
    if (options.keep) await keep(stage.running.map(({ site }) => site));
  } finally {
    picture.stop();
    view.close();
    for (const one of stage.running) await one.stop();
    await stopAll();
  }
}

type Stage = { readonly options: Options; readonly picture: Picture; readonly running: { readonly site: Site; readonly stop: () => Promise<void> }[] };

/** The main site's run, and then the one of a site without a Worker, whose promises are added to it. */
async function play(stage: Stage): Promise<DemoResult> {
  const { once, keep: keeps } = stage.options;
  if (once === 'dns-register') return playOverDns(stage);
  const result = await playMain(stage, once === null ? [...ACTS.failover, ...ACTS.switchover, ...ACTS['witness-lost']] : ACTS[once]);
  if (once !== null) return result;
  if (!keeps) for (const one of stage.running.splice(0)) await one.stop();
  const { report } = await playOverDns(stage);
  const checks = [...result.report.checks, ...report.checks.map((one) => ({ ...one, name: `register in DNS: ${one.name}` }))];
  return { timeline: result.timeline, report: { ...result.report, ok: result.report.ok && report.ok, checks } };
}

async function playMain(stage: Stage, acts: readonly Act[]): Promise<DemoResult> {
  const { options, picture } = stage;
  const { rtoMs } = options;
  picture.say(`objective ${duration(rtoMs)}, lease ${duration(deriveTimings(rtoMs).ttlMs)}: starting real parts`);
  const refusal = attestationRefusal(rtoMs);
  if (refusal !== null && acts.includes('witness-lost')) picture.say(`nothing is shown without the witness: ${refusal}`);
  const played = refusal === null ? acts : acts.filter((act) => act !== 'witness-lost' && act !== 'holder-lost-too');
  const site = await startSite({ folder: runFolder('demo'), rtoMs, attestation: refusal === null, lagProber: true, say: picture.say });
  stage.running.push({ site, stop: site.stop });
  picture.say('both regions run: r1 serves, r2 is in sync');
  return run(stage, site, played);
}

async function playOverDns(stage: Stage): Promise<DemoResult> {
  const { options, picture } = stage;
  picture.say('a second site: no Worker, the lease lives in a record of a name server outside both regions (register: dns)');
  const over = await startSiteOverDns({ folder: runFolder('demo-register'), rtoMs: options.rtoMs, say: picture.say });
  stage.running.push({ site: over.site, stop: over.stop });
  return run(stage, over.site, ['kill']);
}

function run({ options, picture }: Stage, site: Site, acts: readonly Act[]): Promise<DemoResult> {
  return runDemo({
    site,
    rtoMs: options.rtoMs,
    acts,
    say: picture.say,
    onWrite: (write) => picture.counted(write.outcome, write.endMs),
    onSample: (sampler) => picture.sampled(site, sampler),
  });
}

/** Why a site of this objective cannot ask resolvers; null when it can. */
function attestationRefusal(rtoMs: number): string | null {
  const { ttlMs } = deriveTimings(rtoMs);
  const problem = fallbackProblem(deriveFallback(ttlMs, []), ttlMs);
  return problem === null ? null : `spec.timings.hold ${problem}`;
}

type Part = (typeof PARTS)[number];

type Options = {
  readonly rtoMs: number;
  readonly once: Part | null;
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
  if (once !== null && !PARTS.includes(once as Part)) problems.push(`--once ${String(once)}: use ${PARTS.join(', ')}`);
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
    ...report.scenes.map((scene) => `  ${scene.name}: ${scene.outcome}`),
    `  writes: ${writes.acknowledged} acknowledged, ${writes.unknown} unknown, ${writes.refused} refused; ${writes.lost} lost, ${writes.duplicated} duplicated`,
    ...checks,
    `\n  ${report.ok ? 'EVERY PROMISE HELD' : 'A PROMISE BROKE'}`,
  ].join('\n');
}

/** Leaves everything running until Ctrl-C. */
async function keep(sites: readonly Site[]): Promise<void> {
  const lines = sites.flatMap((site) => [
    `  application  ${site.dnsName} port ${site.gatewayPort} (resolvers ${site.resolvers.map(({ server }) => `${server.address}:${server.port ?? 53}`).join(', ')})`,
    ...(site.witness().process.running() ? [`  witness      ${site.witness().url}`] : []),
    ...REGIONS.map((name) => `  ${name}           API ${site.regions[name].api}; npm run continuum -- status --config ${site.regions[name].configFile}`),
  ]);
  process.stdout.write(`\n${lines.join('\n')}\n  a region that was killed last stays dead; Ctrl-C ends everything\n`);
  // Signal handlers of the rig stop every process; nothing else ends this wait.
  await new Promise<never>(() => setInterval(() => undefined, 60_000));
}
