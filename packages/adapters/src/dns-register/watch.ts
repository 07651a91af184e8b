// Events of a register that cannot push: the record is looked at again and again over one connection, its journal says what
// happened since the last look, and what is only a matter of time (overdue, expired) is told by this client's own clock.

import { setTimeout as delay } from 'node:timers/promises';
import { leaseDeadlines } from '@continuum/core';
import type { LeaseEventKind } from '@continuum/core';
import type { LeasePush } from '@continuum/ports';
import { readLease, view } from './client.ts';
import type { Client, Seen } from './client.ts';
import { toRecord } from './observed-lease.ts';
import type { DnsRegisterOptions } from './options.ts';
import { openSession } from './session.ts';

const LOOK_MS_MAX = 2_000;
const BACK_OFF_MS_MAX = 2_000;
const BACK_OFF_DOUBLINGS_MAX = 10;

/** What was told already. */
type Told = { revision: number; renewal: number; overdue: boolean; expired: boolean };

export function watchRecord(client: Client, options: DnsRegisterOptions, onPush: (push: LeasePush) => void, signal: AbortSignal): void {
  void keepLooking(client, options, onPush, signal);
}

async function keepLooking(client: Client, options: DnsRegisterOptions, onPush: (push: LeasePush) => void, signal: AbortSignal): Promise<void> {
  const { checked } = client;
  let told: Told | null = null;
  let failures = 0;
  let session = openSession(checked.authority);
  while (!signal.aborted) {
    const seen = await readLease(client, session, AbortSignal.any([signal, AbortSignal.timeout(LOOK_MS_MAX)]));
    if (signal.aborted) break;
    if (seen.ok) {
      failures = 0;
      told ??= { revision: seen.value.observation.stored.revision, renewal: -1, overdue: true, expired: false };
      for (const event of news(client, seen.value, told)) onPush({ event, view: view(client, seen.value) });
    } else {
      failures += 1;
      options.onWatchProblem?.(seen.failure);
      session.close();
      session = openSession(checked.authority);
    }
    await rest(restMs(client, seen.ok ? seen.value : null, failures), signal);
  }
  session.close();
}

/** What there is to tell, oldest first. */
function news(client: Client, seen: Seen, told: Told): LeaseEventKind[] {
  const { stored } = seen.observation;
  const events = stored.journal.filter((entry) => entry.revision > told.revision).map((entry) => entry.event);
  if (stored.renewal !== told.renewal) {
    // Of a lease that was there before this watch, only that it has ended is worth telling.
    told.overdue = told.renewal === -1;
    told.expired = false;
  }
  told.revision = stored.revision;
  told.renewal = stored.renewal;
  const deadlines = leaseDeadlines(toRecord(seen.observation, client.checked.drift));
  const nowMs = client.checked.nowMs();
  if (deadlines !== null && !told.overdue && nowMs >= deadlines.overdueAtMs) {
    told.overdue = true;
    events.push('overdue');
  }
  if (deadlines !== null && !told.expired && nowMs >= deadlines.expiresAtMs) {
    told.expired = told.overdue = true;
    events.push('expired');
  }
  return events;
}

/** Until the next look: the usual time, less when the lease becomes overdue or expires before it, more while it fails. */
function restMs(client: Client, seen: Seen | null, failures: number): number {
  const { pollMs, nowMs, random, drift } = client.checked;
  if (seen === null) return Math.min(BACK_OFF_MS_MAX, pollMs * 2 ** Math.min(failures, BACK_OFF_DOUBLINGS_MAX)) * (0.5 + random() / 2);
  const deadlines = leaseDeadlines(toRecord(seen.observation, drift));
  const ahead = deadlines === null ? [] : [deadlines.overdueAtMs - nowMs(), deadlines.expiresAtMs - nowMs()].filter((ms) => ms > 0);
  return Math.max(1, Math.min(pollMs, ...ahead.map(Math.ceil)));
}

async function rest(durationMs: number, signal: AbortSignal): Promise<void> {
  await delay(durationMs, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
