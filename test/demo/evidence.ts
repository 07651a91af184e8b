// What the two controllers recorded, read back from their hash-chained logs, and what follows from it: phases of each
// event, and a verdict on every invariant that logs and the surviving database can prove or refute.

import pg from 'pg';
import { readAudit } from '@continuum/runtime';
import type { AuditEntry } from '@continuum/runtime';
import type { Site } from '../rig/site.ts';
import { REGIONS } from '../rig/site.ts';
import type { Check, Phase } from './timeline.ts';
import type { Write } from './writer.ts';

/** One write as the surviving database has it, in the order of its commits. */
export type Row = { readonly id: string; readonly writeId: string; readonly region: string };

export type Logs = {
  /** Both regions' entries in the order of their time: one machine, one monotonic clock. */
  readonly entries: readonly AuditEntry[];
  readonly broken: readonly string[];
};

export function readLogs(site: Site): Logs {
  const broken: string[] = [];
  const entries = REGIONS.flatMap((name) => {
    const log = readAudit(site.regions[name].auditFile);
    if (log.broken !== null) broken.push(`${name}: ${log.broken}`);
    return log.entries;
  });
  return { entries: entries.sort((a, b) => a.monoMs - b.monoMs), broken };
}

export async function readRows(databaseUrl: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 5_000, query_timeout: 30_000 });
  await client.connect();
  try {
    const result = await client.query<{ id: string; write_id: string; region: string }>(
      'SELECT id, write_id, region FROM counter ORDER BY id',
    );
    return result.rows.map((row) => ({ id: row.id, writeId: row.write_id, region: row.region }));
  } finally {
    await client.end();
  }
}

/** First entry of a kind at or after a time. */
export function firstAfter(
  logs: Logs,
  sinceMs: number,
  event: string,
  match: (entry: AuditEntry) => boolean = () => true,
): AuditEntry | null {
  return logs.entries.find((entry) => entry.monoMs >= sinceMs && entry.event === event && match(entry)) ?? null;
}

export type Steps = readonly { readonly name: string; readonly endMs: number | null }[];

/** Consecutive phases from their ends; one whose end was not seen is left out. */
export function phasesFrom(startMs: number, steps: Steps): Phase[] {
  const phases: Phase[] = [];
  let at = startMs;
  for (const { name, endMs } of steps) {
    if (endMs === null) continue;
    phases.push({ name, startMs: at, endMs: Math.max(at, endMs) });
    at = Math.max(at, endMs);
  }
  return phases;
}

/** From the kill to the first acknowledged write at the other gateway. */
export function failoverSteps(logs: Logs, killMs: number, to: string, firstWriteMs: number | null): Steps {
  const own = (entry: AuditEntry): boolean => entry.region === to;
  const phase = (kind: string) => firstAfter(logs, killMs, 'phase', (entry) => own(entry) && entry.detail['kind'] === kind)?.monoMs ?? null;
  return [
    { name: 'lease runs out', endMs: phase('acquiring') },
    { name: 'acquire', endMs: firstAfter(logs, killMs, 'granted', own)?.monoMs ?? null },
    { name: 'promote and verify', endMs: firstAfter(logs, killMs, 'database-promote', own)?.monoMs ?? null },
    { name: 'open the gate', endMs: phase('active') },
    { name: 'first write', endMs: firstWriteMs },
  ];
}

/** From the operator's word to the first acknowledged write at the other gateway. */
export function switchoverSteps(logs: Logs, askedMs: number, from: string, to: string, firstWriteMs: number | null): Steps {
  const step = (kind: string) =>
    logs.entries.find(
      (entry) => entry.monoMs >= askedMs && entry.region === from && entry.event.startsWith('phase') && entry.detail['step'] === kind,
    )?.monoMs ?? null;
  const promoted = firstAfter(logs, askedMs, 'database-promote', (entry) => entry.region === to)?.monoMs ?? null;
  const opened = firstAfter(logs, askedMs, 'phase', (entry) => entry.region === to && entry.detail['kind'] === 'active')?.monoMs ?? null;
  return [
    { name: 'both sides agree', endMs: step('preparing') },
    { name: 'checkpoint', endMs: step('holding') },
    { name: 'hold at the gate', endMs: step('draining') },
    { name: 'drain', endMs: step('demoting') },
    { name: 'stop the database', endMs: step('transferring') },
    { name: 'transfer', endMs: firstAfter(logs, askedMs, 'transferred', (entry) => entry.region === from)?.monoMs ?? null },
    { name: 'promote and verify', endMs: promoted },
    { name: 'open the gate', endMs: opened },
    { name: 'first write', endMs: firstWriteMs },
  ];
}

export type Facts = {
  readonly logs: Logs;
  readonly rows: readonly Row[];
  readonly writes: readonly Write[];
  /** Changes of holder that the run made. */
  readonly changes: number;
  /** Answers of the resolvers that were sampled, as comma-separated addresses; empty for an answer without one. */
  readonly dnsAnswers: readonly string[];
  readonly dnsWritesDuring: number;
};

export type Ledger = {
  readonly acknowledged: number;
  readonly unknown: number;
  readonly refused: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly unknownPresent: number;
  /** Refused by somebody, and there all the same: whoever refused it lied. */
  readonly refusedPresent: number;
};

/** Every count of what is in the database is read from the database. */
export function ledgerOf(writes: readonly Write[], rows: readonly Row[]): Ledger {
  const times = new Map<string, number>();
  for (const row of rows) times.set(row.writeId, (times.get(row.writeId) ?? 0) + 1);
  const of = (outcome: Write['outcome']): Write[] => writes.filter((write) => write.outcome === outcome);
  const present = (write: Write): boolean => times.has(write.id);
  return {
    acknowledged: of('acknowledged').length,
    unknown: of('unknown').length,
    refused: of('refused').length,
    lost: of('acknowledged').filter((write) => !present(write)).length,
    duplicated: [...times.values()].filter((count) => count > 1).length,
    unknownPresent: of('unknown').filter(present).length,
    refusedPresent: of('refused').filter(present).length,
  };
}

/** The verdict, promise by promise. */
export function checkPromises(facts: Facts): Check[] {
  const { logs, rows, writes } = facts;
  const ledger = ledgerOf(writes, rows);
  const all = logs.entries;
  const granted = all.filter((entry) => entry.event === 'granted');
  const owners = new Map<number, Set<string>>();
  for (const entry of all.filter((one) => one.event === 'lease-seen' && one.detail['holder'] !== null)) {
    const epoch = Number(entry.detail['epoch']);
    owners.set(epoch, (owners.get(epoch) ?? new Set()).add(String(entry.detail['holder'])));
  }
  const weights = all.filter((entry) => entry.event === 'traffic-set' && entry.detail['ok'] === true);
  const unsafe = granted.filter((entry) => {
    const before = entry.detail['inSyncBefore'] as string[];
    return before.length > 0 && !before.includes(entry.region) && entry.detail['force'] === null;
  });
  const runs = rows.filter((row, index) => row.region !== rows[index - 1]?.region).map((row) => row.region);
  const answers = [...new Set(facts.dnsAnswers)];
  return [
    check('no acknowledged write is lost (I3)', ledger.lost === 0 && ledger.acknowledged > 0, `${ledger.acknowledged} acknowledged, ${ledger.acknowledged - ledger.lost} of them in the table`),
    check('no write is there twice (I3)', ledger.duplicated === 0, `${rows.length} rows, ${new Set(rows.map((row) => row.writeId)).size} different ids`),
    check('what was refused was not executed', ledger.refusedPresent === 0, `${ledger.refused} refused, ${ledger.refusedPresent} of them in the table; ${ledger.unknown} unknown, ${ledger.unknownPresent} of them in the table`),
    check('never two active regions: commits change hands only with the lease (I1, I4)', runs.length <= facts.changes + 1, `regions in commit order: ${runs.join(' -> ')}; ${facts.changes} changes of holder`),
    check('one region per epoch (I1)', [...owners.values()].every((set) => set.size === 1) && owners.size > 0, [...owners].map(([epoch, set]) => `epoch ${epoch}: ${[...set].join(' and ')}`).join('; ')),
    check('no resource went back to an older epoch (I2)', ...acceptedInOrder(all)),
    check('epochs never go down (I6)', ...epochsRise(all)),
    check('no promotion outside the in-sync set (I8)', unsafe.length === 0, granted.map((entry) => `${entry.region} epoch ${String(entry.detail['epoch'])} from [${(entry.detail['inSyncBefore'] as string[]).join(', ')}]`).join('; ')),
    check('weights never sum to 0 (I9)', weights.length > 0 && weights.every((entry) => Object.values(entry.detail['weights'] as Record<string, number>).some((weight) => weight > 0)), `${weights.length} changes of weights`),
    check('a second promotion only after its standby streamed (I10)', ...streamedBetween(all)),
    check('DNS never answered without an address (I5)', answers.length > 0 && !answers.includes(''), `${facts.dnsAnswers.length} answers sampled: ${answers.map((one) => `[${one}]`).join(' ')}`),
    check('no DNS record was written at a failover', facts.dnsWritesDuring === 0, `${facts.dnsWritesDuring} writes sent to the name servers after set-up`),
    check('the evidence is whole', logs.broken.length === 0, logs.broken.length === 0 ? `${all.length} entries, both hash chains unbroken` : logs.broken.join('; ')),
  ];
}

function check(name: string, passed: boolean, evidence: string): Check {
  return { name, passed, evidence };
}

function acceptedInOrder(entries: readonly AuditEntry[]): [boolean, string] {
  const accepted = entries.filter((entry) => entry.event === 'traffic-set' && entry.detail['ok'] === true);
  let ok = true;
  for (const region of REGIONS) {
    const epochs = accepted.filter((entry) => entry.region === region).map((entry) => Number(entry.detail['epoch']));
    ok &&= epochs.every((epoch, index) => epoch >= (epochs[index - 1] ?? 0));
  }
  return [ok && accepted.length > 0, `${accepted.length} accepted changes of routes, epochs rising in each region`];
}

/** A register that has lost its store says so little that controllers record it; what it grants goes on rising all the same. */
function epochsRise(entries: readonly AuditEntry[]): [boolean, string] {
  const rise = (epochs: readonly number[]): boolean => epochs.every((epoch, index) => epoch >= (epochs[index - 1] ?? 0));
  const parts = REGIONS.map((region) => {
    const own = entries.filter((entry) => entry.region === region);
    const told = own.filter(({ event }) => event === 'lease-seen' || event === 'register-went-back');
    const epochs = told.map((entry) => Number(entry.detail['epoch']));
    const seen = told.every(({ event }, index) => event === 'register-went-back' || told[index - 1]?.event === 'register-went-back' || (epochs[index] ?? 0) >= (epochs[index - 1] ?? 0));
    return { region, epochs, ok: seen && rise(own.filter(({ event }) => event === 'granted').map((entry) => Number(entry.detail['epoch']))) };
  });
  return [parts.every((part) => part.ok && part.epochs.length > 0), parts.map((part) => `${part.region} saw ${part.epochs.join(', ')}`).join('; ')];
}

/** Between two promotions the holder recorded a set of both regions, which it does only while the other one streams. */
function streamedBetween(entries: readonly AuditEntry[]): [boolean, string] {
  const relevant = entries.filter((entry) => (entry.event === 'database-promote' && entry.detail['ok'] === true) || entry.event === 'in-sync');
  let streamed = true;
  let ok = true;
  let promotions = 0;
  for (const entry of relevant) {
    if (entry.event === 'in-sync') streamed ||= (entry.detail['inSync'] as string[]).length > 1;
    else {
      ok &&= streamed;
      streamed = false;
      promotions += 1;
    }
  }
  return [ok && promotions > 0, `${promotions} promotions, a standby in the in-sync set before each but the first`];
}
