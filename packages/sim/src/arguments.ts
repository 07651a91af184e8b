// The command line, read once; all problems together.

import { parseArgs } from 'node:util';
import { NEMESES } from './nemesis/index.ts';
import { PROFILES } from './profile.ts';
import type { ProfileName } from './profile.ts';

export type CliOptions = {
  readonly seeds: number;
  readonly hours: number;
  readonly seed: number;
  readonly only: readonly string[] | null;
  readonly profile: ProfileName | null;
  readonly scenario: string | null;
  /** Writes the decisions into the scenario instead of printing them. */
  readonly rewrite: boolean;
  readonly report: string | null;
  readonly trace: string | null;
  readonly html: string | null;
  readonly threads: number | null;
  /** Hunts every planted fault of test/bugs. */
  readonly bugs: boolean;
  /** Rolling upgrades between this core and every release of test/upgrades. */
  readonly upgrade: boolean;
  /** States of the small scope to search; null: none. */
  readonly explore: number | null;
  readonly shrink: boolean;
  readonly help: boolean;
};

export const USAGE = `Usage: simulate [options]
  --profile test|merge|nightly   seeds and hours of a profile; a missing mark fails it
  --seeds N                      how many seeds (100)
  --hours H                      simulated hours for each (1)
  --seed S                       the first seed (1); with --seeds 1 the trace of that seed is shown
  --swarm                        each round draws its own mixture of all fault families; the default, --only has its own
  --only NAME,NAME               these fault families and no other, all of them in every round
  --scenario FILE                runs one scenario of test/scenarios and prints every decision; with --rewrite into the file
  --report FILE                  writes the report as JSON; with --shrink the plan of the few faults in it, as "kept"
  --trace FILE  --html FILE      with --seeds 1: the whole trace as text, as a page; with --shrink that of the few faults
  --shrink                       with --seeds 1: the few faults that lead to the violation, and the plan to keep in test/seeds
  --explore N                    searches the small scope breadth first, N states of it; with --bugs: for each planted fault
  --bugs                         plants each fault of test/bugs and tells after how many hours it is caught (--hours: at most, 400)
  --upgrade                      rolling upgrades between this core and each release of test/upgrades (--hours: of each, 20)
  --threads N                    threads to use (all cores)
`;

/** A planted fault that is not caught within so many hours got away, unless told otherwise. */
const BUG_HOURS_MAX = 400;
/** Simulated hours with each release, unless told otherwise. */
const UPGRADE_HOURS = 20;
const FLAGS = ['swarm', 'bugs', 'upgrade', 'shrink', 'rewrite', 'help'] as const;
/** Of one run, not of many. */
const OF_ONE_SEED = ['trace', 'html', 'shrink'] as const;

export function readArguments(argv: readonly string[]): { options: CliOptions } | { problems: string[] } {
  const problems: string[] = [];
  const names = ['profile', 'seeds', 'hours', 'seed', 'only', 'scenario', 'report', 'trace', 'html', 'threads', 'explore'] as const;
  const spec = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  const parsed = parseArgs({
    args: [...argv],
    options: { ...spec, ...Object.fromEntries(FLAGS.map((name) => [name, { type: 'boolean' as const }])) },
    strict: false,
    allowPositionals: true,
  });
  const values = parsed.values as Record<string, string | boolean | undefined>;
  const known = new Set<string>([...names, ...FLAGS]);
  for (const name of Object.keys(values)) if (!known.has(name)) problems.push(`--${name} is not an option; see --help`);
  for (const positional of parsed.positionals) problems.push(`"${positional}" is not an option; options begin with --`);
  const text = (name: string): string | null => (typeof values[name] === 'string' ? values[name] : null);
  const amount = (name: string, otherwise: number | null, low: number, whole: boolean): number | null => {
    const given = text(name);
    if (given === null) return otherwise;
    const value = Number(given);
    if (given !== '' && Number.isFinite(value) && value >= low && (!whole || Number.isSafeInteger(value))) return value;
    problems.push(`--${name} is "${given}"; give ${whole ? 'a whole number' : 'a number'} of at least ${low}`);
    return otherwise;
  };
  const profile = text('profile');
  if (profile !== null && !(profile in PROFILES)) problems.push(`--profile is "${profile}"; choose ${Object.keys(PROFILES).join(', ')}`);
  const only = text('only')?.split(',') ?? null;
  for (const name of only ?? []) {
    if (!NEMESES.some((nemesis) => nemesis.name === name)) {
      problems.push(`--only names "${name}"; choose from ${NEMESES.map((nemesis) => nemesis.name).join(', ')}`);
    }
  }
  const bugs = values['bugs'] === true;
  const upgrade = values['upgrade'] === true;
  const base = profile !== null && profile in PROFILES ? PROFILES[profile as ProfileName] : { seeds: text('seed') === null ? 100 : 1, hours: 1 };
  const options: CliOptions = {
    seeds: amount('seeds', base.seeds, 1, true) ?? base.seeds,
    hours: amount('hours', bugs ? BUG_HOURS_MAX : upgrade ? UPGRADE_HOURS : base.hours, 0.01, false) ?? base.hours,
    seed: amount('seed', 1, 0, true) ?? 1,
    only,
    profile: profile as ProfileName | null,
    scenario: text('scenario'),
    rewrite: values['rewrite'] === true,
    report: text('report'),
    trace: text('trace'),
    html: text('html'),
    threads: amount('threads', null, 0, true),
    explore: amount('explore', null, 1, true),
    bugs,
    upgrade,
    shrink: values['shrink'] === true,
    help: values['help'] === true,
  };
  const ofOne = OF_ONE_SEED.filter((name) => values[name] !== undefined);
  if (options.seeds !== 1 && ofOne.length > 0) problems.push(`${ofOne.map((name) => `--${name}`).join(' and ')} with ${options.seeds} seeds: give --seed S, and no other number of seeds than 1`);
  if (options.rewrite && options.scenario === null) problems.push('--rewrite is without a scenario; give --scenario FILE');
  return problems.length > 0 ? { problems } : { options };
}
