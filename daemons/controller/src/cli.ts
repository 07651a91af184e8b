// `continuum`: the operator's command line on a controller's API. Exit codes: 0 done, 1 refused or failed, 2 wrong use
// or a configuration with problems, 3 the controller cannot be reached.

import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { vendorOf } from '@continuum/wire/attestation-spec';
import { namesOf } from '@continuum/wire/names-spec';
import { formatProblems, parseConfig } from '@continuum/wire/spec';
import type { ContinuumConfig } from '@continuum/wire/spec';
import { callApi, checkApi, followEvents } from './api-client.ts';
import type { Api, Quit } from './api-client.ts';
import type { FailoverAnswer } from './api.ts';
import { confirmed } from './confirm.ts';
import { lag } from './lag-command.ts';
import { replicationRows } from './replication-text.ts';
import { checkNames, checkServer, createLease, renderCommand } from './dns-cli.ts';
import type { Outcome, RegisterServer } from './dns-cli.ts';
import type { Status, SwitchoverPlan } from './status.ts';
import { auditFile, parseEnd, verdictText, verifyEvents } from './verify-events.ts';
import type { Verdict } from './verify-events.ts';

const USAGE = `continuum: keeps one of two regions active

  continuum status                     who holds the lease, what this region may do and why
  continuum plan --to REGION           what a switchover would do, step by step; changes nothing
  continuum switchover --to REGION     planned hand-over; waits for its end
  continuum switchover --cancel        give up a switchover whose database was not stopped yet
  continuum failover                   approve a takeover (semi-automatic and manual modes)
  continuum failover --force --reason TEXT --estimated-loss TEXT
                                       take over although data may be lost; both texts are recorded, and what was
                                       measured of the loss. At a terminal it asks first, but for --yes
  continuum events [--follow]          what happened, newest last
  continuum events --verify [--head SEQ:HASH]
                                       whether the log on this machine's disk is whole: its chain, its end, and the entry that
                                       you kept elsewhere ("audit" in the controller's log); asks no controller
  continuum lag [CLUSTER] [--watch]    what each standby misses, how sure that is, and since when (asks a lag prober)
  continuum dns render -f FILE --pdns VERSION [--explain]
                                       the records for a name server of that version, as a zone file has them
  continuum dns check --config FILE    what each resolver says for each name, how old, which region, and whether that is the
                                       holder of the lease: 0 when all are right
  continuum dns check-server --api URL --api-key-file FILE --zone ZONE
                                       whether a PowerDNS is fit to keep leases (spec.register: dns)
  continuum dns create-lease --config FILE --api URL --api-key-file FILE [--epoch N --in-sync REGION,...]
                                       makes the record of a lease, once, at a server that is fit for it; with --epoch in place
                                       of one that was lost. --unchecked instead of --api: check-server was run elsewhere
  continuum check --config FILE        every problem of a configuration; the timings that follow from it, its names and resolvers
  continuum simulate --config FILE     how long clients wait when a region dies, under simulated faults, and whether anything
                                       breaks: 0 within the objective, 1 not, 2 wrong use or a configuration with problems
    --seeds N --hours H                how many runs (100), and simulated hours for each (1)
    --seed S [--trace FILE]            one run again, round by round; all that was decided in it, as text
    --report FILE                      FILE.json for programs and FILE.html for people
    --operator-after DURATION          how long a person takes to approve a takeover, in other modes than automatic (1m)
    --threads N                        threads to use (all cores)

  --config FILE    controller's configuration: gives the address and the token
  --api URL --token-file FILE          instead of --config
  --prober URL     the lag prober (http://127.0.0.1:9188); with --token-file when it wants one
  --output text|json`;

const EXIT = { refused: 1, usage: 2, unreachable: 3 } as const;
const SWITCHOVER_WAIT_MS = 120_000;

const options = {
  config: { type: 'string' },
  api: { type: 'string' },
  'token-file': { type: 'string' },
  output: { type: 'string', default: 'text' },
  to: { type: 'string' },
  cancel: { type: 'boolean', default: false },
  force: { type: 'boolean', default: false },
  reason: { type: 'string' },
  'estimated-loss': { type: 'string' },
  yes: { type: 'boolean', default: false },
  follow: { type: 'boolean', default: false },
  verify: { type: 'boolean', default: false },
  head: { type: 'string' },
  prober: { type: 'string', default: 'http://127.0.0.1:9188' },
  watch: { type: 'boolean', default: false },
  file: { type: 'string', short: 'f' },
  pdns: { type: 'string' },
  explain: { type: 'boolean', default: false },
  'api-key-file': { type: 'string' },
  unchecked: { type: 'boolean', default: false },
  zone: { type: 'string' },
  epoch: { type: 'string' },
  'in-sync': { type: 'string' },
  seeds: { type: 'string', default: '100' },
  hours: { type: 'string', default: '1' },
  seed: { type: 'string' },
  threads: { type: 'string' },
  report: { type: 'string' },
  trace: { type: 'string' },
  'operator-after': { type: 'string', default: '1m' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof options; allowPositionals: true }>>['values'];

await main();

async function main(): Promise<void> {
  const { values, positionals } = readArguments();
  const [command, ...rest] = positionals;
  if (values.help || command === undefined) return say(USAGE);
  if (command === 'lag' && rest.length <= 1) return lag({ ...values, cluster: rest[0] ?? null }, say, quit);
  if (command === 'dns' && rest.length === 1) return dns(rest[0] ?? '', values);
  if (rest.length > 0) quit(EXIT.usage, `what is "${rest.join(' ')}"?\n\n${USAGE}`);
  if (values.output !== 'text' && values.output !== 'json') quit(EXIT.usage, `--output ${values.output}: use text or json`);
  if (command === 'check') return check(values);
  if (command === 'simulate') return simulated(values);
  if (command === 'events' && values.verify) return verify(values);
  const api = findApi(values);
  if (command === 'status') return show(values, await call<Status>(api, 'GET', '/v1/status', 'phase'), statusText);
  if (command === 'plan') return plan(api, values);
  if (command === 'switchover') return values.cancel ? cancel(api, values) : switchover(api, values);
  if (command === 'failover') return failover(api, values);
  if (command === 'events') return events(api, values);
  quit(EXIT.usage, `"${command}" is not a command\n\n${USAGE}`);
}

function readArguments(): { values: Values; positionals: string[] } {
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    return quit(EXIT.usage, `${(error as Error).message}\n\n${USAGE}`);
  }
}

function check(values: Values): void {
  if (values.config === undefined) quit(EXIT.usage, 'check needs --config FILE');
  const parsed = parseConfig(readGiven('--config', values.config));
  if (!parsed.ok) {
    if (values.output === 'json') say(JSON.stringify({ ok: false, problems: parsed.problems }, null, 2));
    quit(EXIT.usage, formatProblems(values.config, parsed.problems));
  }
  const { timings, region, name, mode, hash } = parsed.policy;
  const given = parsed.config.spec.dns;
  const dns = { ...namesOf(given), resolvers: given.resolvers.map((one) => ({ ...one, vendor: vendorOf(one) })) };
  const rows = [
    ...Object.entries(timings).map(([key, value]): [string, string] => [key, String(value)]),
    ['names', `${dns.names.join(', ')} in zone ${dns.zone}`],
    ['resolvers', dns.resolvers.map((one) => `${one.name} (${one.vendor ?? 'vendor not said'})`).join(', ')],
  ] as const;
  show(values, { ok: true, name, region, mode, hash, timings, dns }, () => `${name} for region ${region}, ${mode}\n${table(rows)}`);
}

/** Only whoever asks for it loads the simulator. */
async function simulated(values: Values): Promise<void> {
  const { simulate } = await import('./simulate-command.ts');
  process.exitCode = await simulate(values, { say, tell: (text) => process.stderr.write(`${text}\n`) });
}

async function dns(what: string, values: Values): Promise<void> {
  const outcome = await runDns(what, values);
  const text = values.output === 'json' ? JSON.stringify(outcome.value, null, 2) : outcome.text;
  if (outcome.exitCode === 0 || what === 'check' || values.output === 'json') say(text);
  else process.stderr.write(`${text}\n`);
  process.exitCode = outcome.exitCode;
}

async function runDns(what: string, values: Values): Promise<Outcome> {
  const { file, pdns, config, api, zone } = values;
  const keyFile = values['api-key-file'];
  switch (what) {
    case 'render':
      if (file === undefined || pdns === undefined) return quit(EXIT.usage, 'dns render needs -f FILE and --pdns VERSION, for example --pdns 4.9');
      return renderCommand(file, readGiven('-f', file), pdns, values.explain);
    case 'check':
      if (config === undefined) return quit(EXIT.usage, 'dns check needs --config FILE');
      return checkNames(readConfig(config), await holderNow(findApi(values)));
    case 'create-lease': {
      if (config === undefined) return quit(EXIT.usage, 'dns create-lease needs --config FILE');
      const server = registerServerOf(values);
      const given = readConfig(config);
      const secret = given.local.dnsRegister === undefined ? '' : readGiven('local.dnsRegister.keyFile', given.local.dnsRegister.keyFile).trim();
      return createLease(given, secret, floorOf(values), server);
    }
    case 'check-server':
      if (api === undefined || keyFile === undefined || zone === undefined) return quit(EXIT.usage, 'dns check-server needs --api URL, --api-key-file FILE and --zone ZONE');
      return checkServer({ api, apiKeyFile: keyFile }, zone);
    default:
      return quit(EXIT.usage, `dns ${what}: use dns render, check, create-lease or check-server\n\n${USAGE}`);
  }
}

/** Null when the operator says that somebody has looked at the server already. */
function registerServerOf({ api, 'api-key-file': apiKeyFile, unchecked }: Values): RegisterServer | null {
  if (api !== undefined && apiKeyFile !== undefined && !unchecked) return { api, apiKeyFile };
  if (api === undefined && apiKeyFile === undefined && unchecked) return null;
  const fix = 'the name server is asked first whether it can keep a lease. Where its API is not reached from here, run dns check-server there, and give --unchecked instead';
  return quit(EXIT.usage, `dns create-lease needs --api URL and --api-key-file FILE of the name server: ${fix}`);
}

function floorOf(values: Values): { epoch: number; inSync: string[] } | null {
  if (values.epoch === undefined && values['in-sync'] === undefined) return null;
  const [epoch, inSync] = [Number(values.epoch), values['in-sync']?.split(',').filter((one) => one !== '') ?? []];
  if (Number.isSafeInteger(epoch) && epoch > 0 && inSync.length > 0) return { epoch, inSync };
  return quit(EXIT.usage, '--epoch N (the highest that any region was granted) and --in-sync REGION[,REGION] (who has all the data) go together');
}

function readConfig(file: string): ContinuumConfig {
  const parsed = parseConfig(readGiven('--config', file));
  return parsed.ok ? parsed.config : quit(EXIT.usage, formatProblems(file, parsed.problems));
}

/** Who holds the lease as the controller knows it; undefined when it cannot be asked, or does not know. */
async function holderNow(api: Api): Promise<string | null | undefined> {
  const cannot: Quit = (_, message) => {
    throw new Error(message);
  };
  try {
    return (await callApi<Status>(api, cannot, 'GET', '/v1/status', 'lease')).lease?.holder;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return undefined;
  }
}

async function plan(api: Api, values: Values): Promise<void> {
  const result = await call<SwitchoverPlan>(api, 'POST', '/v1/switchover', 'steps', { to: target(values), dryRun: true });
  show(values, result, planText);
  if (!result.possible) process.exitCode = EXIT.refused;
}

async function switchover(api: Api, values: Values): Promise<void> {
  const to = target(values);
  const { id } = await call<{ id: string }>(api, 'POST', '/v1/switchover', 'id', { to });
  const deadline = Date.now() + SWITCHOVER_WAIT_MS;
  let shown = '';
  while (Date.now() < deadline) {
    const status = await call<Status>(api, 'GET', '/v1/status', 'phase');
    const line = `${status.region}: ${phaseText(status)}, lease ${status.lease?.holder ?? 'free'} epoch ${status.lease?.epoch ?? '?'}`;
    if (values.output === 'text' && line !== shown) say(line);
    shown = line;
    const failed = status.lastSwitchover?.id === id && /^(refused|given up|failed)/.test(status.lastSwitchover.result);
    if (failed) quit(EXIT.refused, `switchover ${id}: ${status.lastSwitchover?.result ?? ''}`);
    if (status.lease?.holder === to && status.lease.handover?.id === id) {
      return show(values, { id, to, epoch: status.lease.epoch, done: true }, () => `switchover ${id}: ${to} holds epoch ${status.lease?.epoch ?? 0}`);
    }
    await delay(100);
  }
  quit(EXIT.refused, `switchover ${id}: no end after ${SWITCHOVER_WAIT_MS / 1_000} s; see "continuum status" and "continuum events"`);
}

async function cancel(api: Api, values: Values): Promise<void> {
  show(values, await call<{ accepted: boolean }>(api, 'DELETE', '/v1/switchover', 'accepted'), () => 'asked to give up; see "continuum events"');
}

async function failover(api: Api, values: Values): Promise<void> {
  const body = {
    force: values.force,
    ...(values.reason === undefined ? {} : { reason: values.reason }),
    ...(values['estimated-loss'] === undefined ? {} : { estimatedLoss: values['estimated-loss'] }),
  };
  if (values.force) await askBeforeForce(api, values, body);
  const result = await call<FailoverAnswer>(api, 'POST', '/v1/failover', 'preconditions', body);
  const measured = (one: FailoverAnswer): string => (values.force && one.measuredLoss !== null ? `\nmeasured: ${one.measuredLoss}` : '');
  show(values, result, (one) => `asked to take over; conditions now:\n${conditionsText(one.preconditions ?? [])}${measured(one)}`);
}

/** What it may cost is said before it is asked for, and an answer to something else is not taken for a yes. */
async function askBeforeForce(api: Api, values: Values, body: object): Promise<void> {
  const { measuredLoss } = await call<FailoverAnswer>(api, 'POST', '/v1/failover', 'preconditions', { ...body, dryRun: true });
  const { region } = await call<Status>(api, 'GET', '/v1/status', 'phase');
  const question = `A forced takeover by ${region} may lose data. Measured: ${measuredLoss ?? 'nothing is known'}.\nYou say: ${values['estimated-loss'] ?? ''}`;
  if (values.yes) return;
  if (await confirmed(question, region)) return;
  quit(EXIT.refused, 'not confirmed: nothing was asked for');
}

function events(api: Api, values: Values): Promise<void> {
  return followEvents(api, quitFor, values.follow, (entry, text) => {
    say(values.output === 'json' ? text : `${entry.at}  ${entry.region}  ${entry.event.padEnd(20)}  ${JSON.stringify(entry.detail)}`);
  });
}

function verify(values: Values): void {
  if (values.config === undefined) quit(EXIT.usage, 'events --verify needs --config FILE: the log is in its local.stateDir');
  const known = values.head === undefined ? null : parseEnd(values.head);
  if (values.head !== undefined && known === null) quit(EXIT.usage, `--head ${values.head}: use SEQ:HASH, a number and 64 hexadecimal digits`);
  const file = auditFile(readConfig(values.config).local.stateDir);
  const verdict = verifyOrQuit(file, known);
  show(values, verdict, verdictText);
  if (!verdict.ok) process.exitCode = EXIT.refused;
}

function verifyOrQuit(file: string, known: ReturnType<typeof parseEnd>): Verdict {
  try {
    return verifyEvents(file, known);
  } catch (error) {
    return quit(EXIT.usage, `the log ${file} cannot be read: ${(error as Error).message}`);
  }
}

function statusText(status: Status): string {
  const { lease, database, gate } = status;
  const rows = [
    ['region', `${status.region} (${status.mode})`],
    ['phase', phaseText(status)],
    ['may act', status.actingEpoch > 0 ? `epoch ${status.actingEpoch}, ${status.validityMs} ms left` : 'no'],
    ['lease', lease === null ? `unknown (${status.witnessProblem ?? 'not asked yet'})` : `${lease.holder ?? 'free'}, epoch ${lease.epoch}, in sync [${lease.inSync.join(', ')}], seen ${lease.ageMs} ms ago`],
    ['witness', status.witnessProblem ?? 'reached'],
    ['database', database === null ? 'unknown' : `${database.role}, timeline ${database.timeline ?? '?'}, at ${database.lsn ?? '?'}, seen ${database.ageMs} ms ago`],
    ...replicationRows(status.replication),
    ['commits wait for', status.synchronous === null ? 'unknown' : status.synchronous.join(', ') || 'nobody'],
    ['gate', gate.connected ? `${gate.mode ?? 'no directive'}, ${gate.held} held` : 'not connected'],
    ['last switchover', status.lastSwitchover === null ? 'none' : `${status.lastSwitchover.id}: ${status.lastSwitchover.result}`],
  ];
  const problem = status.databaseProblem === null ? '' : `\n\ndatabase problem: ${status.databaseProblem}`;
  const takeover = status.takeover === null ? '' : `\n\nwould this region take over now?\n${conditionsText(status.takeover)}`;
  return `${table(rows as [string, string][])}${problem}${takeover}`;
}

function planText(plan: SwitchoverPlan): string {
  const steps = plan.steps.map((one, index) => `  ${String(index + 1).padStart(2)}. ${one.region.padEnd(4)} ${one.step} (at most ${one.boundMs} ms)`);
  const verdict = plan.possible ? 'possible, as far as this region can see' : 'refused';
  return `switchover ${plan.from ?? '(nobody)'} -> ${plan.to}: ${verdict}\n${conditionsText(plan.preconditions)}\nsteps:\n${steps.join('\n')}`;
}

function conditionsText(list: NonNullable<Status['takeover']>): string {
  return list
    .map((one) => `  ${one.ok ? 'ok ' : 'NO '} ${one.name.padEnd(24)} ${one.value} (needs ${one.limit}; ${one.source}${one.ageMs === null ? '' : `, ${Math.round(one.ageMs)} ms old`})`)
    .join('\n');
}

function phaseText(status: Status): string {
  const { phase } = status;
  return phase.kind === 'handing-over' ? `${phase.kind} (${phase.step})` : phase.kind;
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([key]) => key.length));
  return rows.map(([key, value]) => `${key.padEnd(width)}  ${value}`).join('\n');
}

function target(values: Values): string {
  return values.to ?? quit(EXIT.usage, 'name the region that is to take over: --to REGION');
}

function findApi(values: Values): Api {
  if (values.api !== undefined && values['token-file'] !== undefined) {
    return checkApi({ url: values.api, token: readGiven('--token-file', values['token-file']).trim() }, quitFor);
  }
  if (values.config === undefined) quit(EXIT.usage, 'name the controller: --config FILE, or --api URL and --token-file FILE');
  const { address, port, tokenFile } = readConfig(values.config).local.api;
  const host = address.includes(':') ? `[${address}]` : address;
  return checkApi({ url: `http://${host}:${port}`, token: readGiven('local.api.tokenFile', tokenFile).trim() }, quitFor);
}

function readGiven(field: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    return quit(EXIT.usage, `${field} ${file}: ${(error as Error).message}`);
  }
}

function quitFor(kind: Parameters<Quit>[0], message: string): never {
  return quit(EXIT[kind], message);
}

function call<T extends object>(api: Api, method: 'GET' | 'POST' | 'DELETE', path: string, has: keyof T & string, body?: object): Promise<T> {
  return callApi<T>(api, quitFor, method, path, has, body);
}

function show<T>(values: Values, value: T, text: (value: T) => string): void {
  say(values.output === 'json' ? JSON.stringify(value, null, 2) : text(value));
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function quit(code: number, message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(code);
}
