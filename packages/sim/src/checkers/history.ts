// I3 and I10: what was acknowledged is in every later primary, exactly once, and nobody is promoted who was never seen streaming. And
// the clients' own books at the end of a run: ok is there once, refused is not there, unknown may be either.

import type { WriteOutcome } from '../models/clients.ts';
import type { Database } from '../models/database.ts';
import { contains, fork } from '../models/history.ts';
import type { LogEntry } from '../models/history.ts';
import type { Simulation } from '../simulation.ts';
import type { LeaseChecker } from './lease.ts';

export class HistoryChecker {
  readonly outcomes: Record<WriteOutcome, number> = { ok: 0, refused: 0, unknown: 0 };
  readonly #sim: Simulation;
  readonly #lease: LeaseChecker;
  /** Last acknowledged entry of every branch; more than one only after a loss. */
  #tips: LogEntry[] = [];
  readonly #ok = new Set<number>();
  readonly #refused = new Set<number>();
  /** A gate may still be in an epoch whose holder has been granted the next one. */
  readonly #promotedEpochs = new Map<string, Set<number>>();
  readonly #lastPromoted = new Map<string, number>();
  #ended: LogEntry | null = null;
  /** The last promotion by which an operator chose to lose what it had not got. */
  #forced: { readonly epoch: number; readonly head: LogEntry } | null = null;
  /** The writes that were lost by it. */
  readonly #forgiven = new Set<number>();
  #primary: { readonly region: string; readonly epoch: number; readonly streamed: Set<string> } | null = null;

  constructor(sim: Simulation, lease: LeaseChecker) {
    this.#sim = sim;
    this.#lease = lease;
  }

  acknowledged(entry: LogEntry): void {
    // After a forced takeover the old side may still finish what was in flight: part of the loss that was chosen.
    if (this.#isBehindForced(entry)) return this.#forgive(entry);
    this.#forgiven.delete(entry.writeId);
    this.#tips = this.#tips.filter((tip) => !contains(entry, tip));
    this.#tips.push(entry);
  }

  ended(writeId: number, outcome: WriteOutcome): void {
    this.outcomes[outcome]++;
    this.#sim.mix(writeId * 4 + outcome.length);
    if (outcome === 'ok') this.#ok.add(writeId);
    if (outcome === 'refused') this.#refused.add(writeId);
  }

  streams(standby: Database, source: Database): void {
    if (this.#primary?.region === source.region) this.#primary.streamed.add(standby.region);
  }

  /** The server of a planned switchover's giver has stopped, and ends here. */
  demoted(entry: LogEntry): void {
    this.#ended = entry;
  }

  /** The gate is open: the region's database was proved a primary under this epoch. */
  verified(region: string, epoch: number): void {
    if (this.#promotedEpochs.get(region)?.has(epoch) === true) return;
    this.#sim.violate('I8', `${region} lets requests through in epoch ${epoch} before its promotion was verified`);
  }

  promoted(database: Database, epoch: number): void {
    const head = database.head as LogEntry;
    const grant = this.#lease.grants.get(epoch);
    const forced = this.#isForced(database.region, epoch);
    this.#promotedEpochs.set(database.region, (this.#promotedEpochs.get(database.region) ?? new Set()).add(epoch));
    this.#lastPromoted.set(database.region, epoch);
    // After a forced takeover the old side may start its own server again while its attestations carry it: it is behind, as was chosen.
    if (this.#forced !== null && epoch < this.#forced.epoch) return;
    if (grant?.planned === true && this.#ended !== null && !contains(head, this.#ended)) {
      this.#sim.violate('I3', `${database.region} was promoted in the planned epoch ${epoch} without all of the giver's history`);
    }
    this.#ended = null;
    const lost = this.#tips.filter((tip) => !contains(head, tip));
    if (forced) {
      this.#forced = { epoch, head };
      for (const tip of lost) this.#forgive(tip);
      this.#tips = this.#tips.filter((tip) => contains(head, tip));
    } else if (lost.length > 0) {
      this.#sim.violate('I3', `${database.region} was promoted in epoch ${epoch} without the acknowledged write ${lost[0]?.writeId}`);
    }
    const before = this.#primary;
    if (before !== null && before.region !== database.region && !forced && !before.streamed.has(database.region)) {
      this.#sim.violate('I10', `${database.region} was promoted in epoch ${epoch}, and was never seen streaming from ${before.region}`);
    }
    // A standby may have connected between the promotion and its proof.
    const streamed = new Set(database.senders.keys());
    this.#primary = before?.region === database.region ? { ...before, epoch } : { region: database.region, epoch, streamed };
  }

  /**
   * An operator's word stands until the region that it is about was promoted once: the forced grant itself may run out while its
   * database does not answer, and the register then still counts on that region alone.
   */
  #isForced(region: string, epoch: number): boolean {
    const judged = this.#lastPromoted.get(region) ?? 0;
    for (let at = epoch; at > judged || at === epoch; at--) {
      const grant = this.#lease.grants.get(at);
      if (grant?.region !== region) return false;
      if (grant.forced) return true;
    }
    return false;
  }

  /** Written under an earlier epoch than the last forced one, and not there when that was promoted. */
  #isBehindForced(entry: LogEntry): boolean {
    return this.#forced !== null && entry.epoch < this.#forced.epoch && !contains(this.#forced.head, entry);
  }

  /** All that went with this entry. */
  #forgive(lost: LogEntry): void {
    const { head } = this.#forced as { head: LogEntry };
    const kept = fork(head, lost);
    for (let entry: LogEntry | null = lost; entry !== null && entry !== kept; entry = entry.parent) this.#forgiven.add(entry.writeId);
  }

  /** The books at the end, against the primary that is left. */
  close(primary: Database): void {
    const seen = new Set<number>();
    for (let entry = primary.head; entry !== null; entry = entry.parent) {
      if (entry.writeId === 0) continue;
      if (seen.has(entry.writeId)) this.#sim.violate('I3', `write ${entry.writeId} is there twice`);
      if (this.#refused.has(entry.writeId)) this.#sim.violate('I3', `write ${entry.writeId} was refused and is there`);
      seen.add(entry.writeId);
    }
    for (const writeId of this.#ok) {
      if (!seen.has(writeId) && !this.#forgiven.has(writeId)) this.#sim.violate('I3', `write ${writeId} was acknowledged and is not there`);
    }
  }
}
