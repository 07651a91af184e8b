// Scenarios as text: a script of what happens, and under each line everything that was decided because of it. A change of
// behaviour is a change of text that a reviewer reads.

import { withoutGlobals } from './forbid-globals.ts';
import { Prng } from './prng.ts';
import { RESOLVERS } from './models/outside.ts';
import { drawOptions } from './options.ts';
import type { TraceLine } from './simulation.ts';
import type { Region } from './world.ts';
import { World } from './world.ts';

type Stage = { world: World | null; seed: number; rtoMs: number; shown: number };

/** Runs the script (comments and unindented lines) and returns it with the decisions, indented, under each line. */
export function runScenario(text: string): string {
  const stage: Stage = { world: null, seed: 1, rtoMs: 10_000, shown: 0 };
  const output: string[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith(' ') || line === '') continue;
    if (output.length > 0 && !line.startsWith('#')) output.push('');
    output.push(line);
    if (line.startsWith('#')) continue;
    withoutGlobals(() => perform(stage, line));
    output.push(...fresh(stage).map(({ atMs, who, what }) => `  ${seconds(atMs)} ${who.padEnd(14)} ${what}`));
  }
  return `${output.join('\n')}\n`;
}

function fresh(stage: Stage): readonly TraceLine[] {
  const trace = stage.world?.sim.trace ?? [];
  const lines = trace.slice(stage.shown);
  stage.shown = trace.length;
  return lines;
}

function perform(stage: Stage, line: string): void {
  const [verb = '', first = '', ...rest] = line.split(/\s+/);
  if (verb === 'seed') stage.seed = Number(first);
  else if (verb === 'objective') stage.rtoMs = durationMs(first);
  else if (verb === 'start') {
    const outside = { resolvers: wants(first, rest, 'resolvers') ? RESOLVERS : null, names: null };
    stage.world = new World(
      drawOptions(stage.seed, new Prng(stage.seed, 1), { rtoMs: stage.rtoMs, traced: true, databaseStartsAtBoot: false, ...outside }),
    );
    stage.world.start();
  } else if (stage.world === null) throw new Error(`"${line}": a scenario begins with "start"`);
  else act(stage.world, verb, first, rest);
}

/** `start` alone is a world in which nobody asks DNS. */
function wants(first: string, rest: readonly string[], what: string): boolean {
  return [first, ...rest].includes(what);
}

function act(world: World, verb: string, first: string, rest: readonly string[]): void {
  const region = (): Region => {
    const found = world.regions.find(({ name }) => name === first);
    if (found === undefined) throw new Error(`"${verb} ${first}": name a region (${world.regions.map(({ name }) => name).join(', ')})`);
    return found;
  };
  switch (verb) {
    case 'run':
      return world.sim.runUntil(world.sim.nowMs + durationMs(first));
    case 'kill':
      return world.kill(region());
    case 'boot':
      return world.boot(region());
    case 'switchover':
      world.operators.switchover(region());
      return;
    case 'cancel':
      return world.operators.cancel(region());
    case 'takeover':
      return world.operators.takeover(region());
    case 'stop':
      return region().controller.process.pause();
    case 'continue':
      return region().controller.process.unpause();
    case 'kill-controller':
      return region().controller.process.kill();
    case 'restart-controller':
      return world.restart(region());
    case 'kill-database':
      return region().database.stop();
    case 'suspend':
      return region().machine.suspend();
    case 'resume':
      return region().machine.resume();
    case 'promotion':
      region().database.faults.promote = rest[0] as 'ok' | 'hangs' | 'fails';
      return;
    case 'cut':
      return world.cutLinks(links(world, first), 'scenario');
    case 'mend':
      return world.mendLinks(links(world, first), 'scenario');
    case 'heal':
      return world.heal();
    case 'write':
      return world.clients.burst(Number(first), 10);
    case 'status':
      return world.sim.note('status', () => status(world));
    default:
      throw new Error(`"${verb}" is not a step of a scenario`);
  }
}

function links(world: World, name: string): World['links'] {
  const found = world.links.filter((link) => link.name === name);
  if (found.length === 0) throw new Error(`there is no link "${name}"; choose from ${world.links.map((link) => link.name).join(' ')}`);
  return found;
}

function status(world: World): string {
  const { record } = world.witness;
  const { ok, refused, unknown } = world.history.outcomes;
  const regions = world.regions.map(
    ({ name, controller, database, gate }) =>
      `${name}: ${controller.process.alive ? controller.state.phase.kind : 'dead'}, ${database.role}, gate ${gateShown(gate)}`,
  );
  return `epoch ${record.epoch} of ${record.holder ?? 'nobody'} [${record.inSync.join()}]; ${regions.join('; ')}; writes ok ${ok} refused ${refused} unknown ${unknown}`;
}

function gateShown(gate: Region['gate']): string {
  const mode = gate.state.instruction?.mode ?? 'empty';
  if (!gate.process.alive) return 'dead';
  return mode === 'open' && !gate.isActive ? 'shut (its validity is over)' : mode;
}

function durationMs(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text);
  if (match === null) throw new Error(`"${text}" is not a duration; write 250ms, 10s or 2m`);
  return Number(match[1]) * { ms: 1, s: 1_000, m: 60_000 }[match[2] as 'ms' | 's' | 'm'];
}

function seconds(atMs: number): string {
  return (atMs / 1_000).toFixed(3).padStart(9);
}
