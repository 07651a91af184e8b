// `continuum dns ...`: what the name servers are to be told, what the world is told by them, and the set-up of a register in DNS.

import { checkAuthority, hasText } from '@continuum/adapters/dns-register/authority';
import { createDnsRegister } from '@continuum/adapters/dns-register/index';
import type { PowerdnsOptions } from '@continuum/adapters/powerdns/api';
import { pdnsVersion, PDNS_VERSIONS, renderPlacement, renderText } from '@continuum/core';
import type { Rendered } from '@continuum/core';
import type { ResolverAnswer } from '@continuum/ports';
import { readSecret } from '@continuum/runtime';
import { apiUrl } from '@continuum/wire/config-file';
import { parseNames } from '@continuum/wire/dns-spec';
import { namesOf } from '@continuum/wire/names-spec';
import { formatProblems, timingsOf } from '@continuum/wire/spec';
import type { ContinuumConfig } from '@continuum/wire/spec';
import { dnsQuestions, isOnly, QUESTIONS_AT_ONCE, regionAddresses, regionsOf } from './dns-answers.ts';
import type { DnsQuestion, RegionAddresses } from './dns-answers.ts';

export type Outcome = { readonly exitCode: 0 | 1 | 2; readonly text: string; readonly value: unknown };

const CHECK_TIMEOUT_MS = 3_000;

/** `file` is only for messages. */
export function renderCommand(file: string, text: string, pdns: string, explain: boolean): Outcome {
  const version = pdnsVersion(pdns);
  if (version === null) return problem(2, `--pdns ${pdns}: use one of ${PDNS_VERSIONS.join(', ')}, with or without a patch level`);
  const parsed = parseNames(text, version);
  if (!parsed.ok) return { exitCode: 2, text: formatProblems(file, parsed.problems), value: { ok: false, problems: parsed.problems } };
  const made = renderPlacement(parsed.input);
  if (made.ok) return { exitCode: 0, text: renderText(made.value, { explain }).trimEnd(), value: shown(made.value, explain) };
  const lines = made.problems.map(({ field, value, fix }) => `  ${file}  ${field} = ${value}\n      ${fix}`);
  return { exitCode: 2, text: `${made.problems.length} problem(s) in ${file}\n${lines.join('\n')}`, value: { ok: false, problems: made.problems } };
}

/** The API of the name server that is to keep leases. */
export type RegisterServer = { readonly api: string; readonly apiKeyFile: string };

/**
 * Makes the TXT record of a lease that has none yet, with this region's key. `floor`: it replaces one that was lost. Refused at a server
 * that cannot keep a lease, before anything is written; `server` null: the operator has asked `dns check-server` where its API is reached.
 */
export async function createLease(
  config: { readonly spec: Pick<ContinuumConfig['spec'], 'dnsRegister'>; readonly local: Pick<ContinuumConfig['local'], 'dnsRegister' | 'region'> },
  keySecret: string,
  floor: { readonly epoch: number; readonly inSync: readonly string[] } | null,
  server: RegisterServer | null,
): Promise<Outcome> {
  const { dnsRegister: at } = config.spec;
  const { dnsRegister: key, region } = config.local;
  if (at === undefined || key === undefined) return problem(1, 'spec.register is not dns: the witness makes its leases itself');
  const opened = server === null ? null : openServer(server);
  if (opened !== null && !opened.ok) return opened.outcome;
  if (opened !== null) {
    const judged = await judgeServer(opened.value, at.zone);
    if (judged.exitCode !== 0) return judged;
  }
  const memory = { load: () => null, save: () => undefined };
  const register = createDnsRegister({ ...at, region, keyName: key.keyName, keySecret, memory });
  const made = await register.create(AbortSignal.timeout(CHECK_TIMEOUT_MS), floor ?? undefined);
  if (!made.ok) return problem(1, `${made.failure.code}: ${made.failure.message}`);
  const name = `${at.lease}.${at.zone}`;
  if (!made.value) return problem(1, `there is a record at ${name} already: it is never replaced`);
  if (opened !== null) {
    const there = await hasText(opened.value, at.zone, name, AbortSignal.timeout(CHECK_TIMEOUT_MS));
    if (!there.ok) return problem(1, `made ${name}, but not known whether at the server of --api: ${there.failure.code}: ${there.failure.message}`);
    if (!there.value) return problem(1, `made ${name} at spec.dnsRegister.address = ${at.address}, but the server of --api has no such record: another server was judged. Remove the record, and give --api of ${at.address}`);
  }
  return { exitCode: 0, text: `made ${name}; its first grant has epoch ${(floor?.epoch ?? 0) + 1}`, value: { ok: true, name, epoch: floor?.epoch ?? 0, serverChecked: opened !== null } };
}

/** Whether a name server is fit to keep leases: asked over its API, once, by who sets it up. */
export async function checkServer(server: RegisterServer, zone: string): Promise<Outcome> {
  const opened = openServer(server);
  return opened.ok ? judgeServer(opened.value, zone) : opened.outcome;
}

function openServer({ api, apiKeyFile }: RegisterServer): { ok: true; value: PowerdnsOptions } | { ok: false; outcome: Outcome } {
  const url = apiUrl.safeParse(api);
  if (!url.success) return { ok: false, outcome: problem(2, `--api: ${url.error.issues[0]?.message}`) };
  const key = readSecret('--api-key-file', apiKeyFile);
  if (!key.ok) return { ok: false, outcome: problem(2, `${key.code}: ${key.message}`) };
  return { ok: true, value: { url: api, apiKey: key.value } };
}

async function judgeServer(server: PowerdnsOptions, zone: string): Promise<Outcome> {
  const found = await checkAuthority(server, zone, AbortSignal.timeout(CHECK_TIMEOUT_MS));
  if (!found.ok) return problem(1, `${found.failure.code}: ${found.failure.message}`);
  const lines = found.value.map(({ setting, value, fix }) => `  ${setting} = ${JSON.stringify(value)}\n      ${fix}`);
  const fit = lines.length === 0;
  return {
    exitCode: fit ? 0 : 1,
    text: fit ? `${zone}: this server can keep leases` : `${zone}: this server must not keep leases\n${lines.join('\n')}`,
    value: { ok: fit, zone, problems: found.value },
  };
}

export type Row = {
  readonly resolver: string;
  readonly verdict: 'match' | 'differs' | 'no-answer' | 'unjudged';
  /** Whose addresses were answered, in the order of the answer; `?` for an address of no region. */
  readonly regions: readonly string[];
  readonly addresses: readonly string[];
  /** How long ago this resolver learned it, from what is left of the TTL; null when nothing was answered. */
  readonly ageSeconds: number | null;
  readonly detail: string;
};

/** What each resolver says from here of every name, beside who holds the lease (null: nobody, undefined: not known). */
export async function checkNames(config: ContinuumConfig, holder: string | null | undefined): Promise<Outcome> {
  const addresses = regionAddresses(config);
  const published = timingsOf(config).dnsTtlSeconds;
  const questions = dnsQuestions(config.spec.dns, Object.values(addresses).flat(), CHECK_TIMEOUT_MS);
  const rows: AskedRow[] = [];
  const look = async ({ name, type, ask }: DnsQuestion): Promise<AskedRow[]> => {
    const answers = await ask(AbortSignal.timeout(CHECK_TIMEOUT_MS + 1_000));
    return answers.map((answer) => ({ name, type, ...judge(answer, addresses, holder, published) }));
  };
  for (let at = 0; at < questions.length; at += QUESTIONS_AT_ONCE) {
    rows.push(...(await Promise.all(questions.slice(at, at + QUESTIONS_AT_ONCE).map(look))).flat());
  }
  const matching = rows.every(({ verdict }) => verdict === 'match');
  const lease = holder === undefined ? 'not known (name the controller with --config and let it run)' : (holder ?? 'nobody');
  const { names } = namesOf(config.spec.dns);
  const lines = questions.flatMap(({ name, type }) => [`${name} ${type}:`, ...rows.filter((row) => row.name === name && row.type === type).map(rowText)]);
  return {
    exitCode: matching ? 0 : 1,
    text: [`lease held by ${lease}`, ...lines].join('\n'),
    value: { ok: matching, name: names[0], names, holder: holder ?? null, holderKnown: holder !== undefined, resolvers: rows },
  };
}

type AskedRow = Row & { readonly name: string; readonly type: string };

const rowText = (row: AskedRow): string => `  ${row.resolver.padEnd(16)} ${row.verdict.padEnd(10)} ${row.detail}`;

export function judge(answer: ResolverAnswer, addresses: RegionAddresses, holder: string | null | undefined, publishedTtlSeconds: number): Row {
  const { resolver } = answer;
  if (answer.status === 'abstained') return { resolver, verdict: 'no-answer', regions: [], addresses: [], ageSeconds: null, detail: answer.reason };
  const regions = regionsOf(answer.addresses, addresses);
  const ageSeconds = Math.max(0, publishedTtlSeconds - answer.ttlSeconds);
  const named = regions.map((region, index) => `${region ?? '?'} (${answer.addresses[index]})`).join(', ');
  const above = answer.ttlSeconds > publishedTtlSeconds ? `, TTL ${answer.ttlSeconds} s is above the ${publishedTtlSeconds} s that are published` : '';
  const verdict = holder === undefined ? 'unjudged' : holder !== null && isOnly(holder, regions) && above === '' ? 'match' : 'differs';
  return { resolver, verdict, regions: regions.map((one) => one ?? '?'), addresses: answer.addresses, ageSeconds, detail: `${named}, ${ageSeconds} s old${above}` };
}

function shown({ rrsets, lua, notes, explain: words }: Rendered, explain: boolean): object {
  return { ok: true, rrsets, lua, notes, ...(explain ? { explain: words } : {}) };
}

function problem(exitCode: 1 | 2, text: string): Outcome {
  return { exitCode, text, value: { ok: false, problem: text } };
}
