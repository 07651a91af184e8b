// The database port as a region's controller sees it, carried out on the model. One operation at a time; an operation that ends by
// its deadline may still have its effect later, as a promotion in a real server does.

import type { DatabaseAction, DemotionToken } from '@continuum/core';
import { append, branchOf, canStream, contains, entryOf } from './history.ts';
import type { LogEntry } from './history.ts';
import type { Database } from './database.ts';

export type OperationResult =
  | { readonly ok: true; readonly token: DemotionToken | null; readonly detail: string }
  | { readonly ok: false; readonly code: string; readonly message: string };

type Operation = { over: boolean; readonly done: (result: OperationResult) => void };

const POLLS = 12;

export class DatabaseOperator {
  /** Off only to prove that the simulation sees what the check prevents. */
  fenced = true;
  readonly #database: Database;
  readonly #peers: ReadonlyMap<string, Database>;
  #current: Operation | null = null;
  /** A promotion that hangs in the server. */
  #hung: { readonly generation: number; readonly takeEffect: () => void } | null = null;

  constructor(database: Database, peers: ReadonlyMap<string, Database>) {
    this.#database = database;
    this.#peers = peers;
  }

  run(action: DatabaseAction, timeoutMs: number, done: (result: OperationResult) => void): void {
    const { sim } = this.#database;
    this.abandon();
    const operation: Operation = {
      over: false,
      done: (result) => {
        if (operation.over) return;
        operation.over = true;
        done(result);
      },
    };
    this.#current = operation;
    sim.after(timeoutMs, () => operation.done(failed('CTM_DATABASE_TIMEOUT', `not done within ${timeoutMs} ms`)));
    if (action.kind === 'prewarm') return this.#later(operation, this.#database.times.stopMs, () => operation.done(done_));
    if (!this.#take(action.epoch)) {
      return operation.done(failed('CTM_EPOCH_STALE', `epoch ${action.epoch} is below ${this.#database.epoch}`));
    }
    if (action.kind === 'promote') this.#promote(operation, action.epoch, action.token, timeoutMs);
    else if (action.kind === 'demote') this.#demote(operation, timeoutMs);
    else if (action.kind === 'rejoin') this.#rejoin(operation, action);
    else this.#setSynchronous(operation, action.standbys, timeoutMs);
  }

  /** An action of an earlier life of the controller arrives late; nobody waits for it. False: refused. */
  stray(action: DatabaseAction): boolean {
    if (action.kind === 'prewarm') return false;
    const earlier = this.#current;
    if (!this.#take(action.epoch)) return false;
    this.#current = earlier;
    return true;
  }

  /** The controller that asked is gone. What the server itself has begun goes on. */
  abandon(): void {
    if (this.#current !== null) this.#current.over = true;
    this.#current = null;
  }

  #take(epoch: number): boolean {
    const database = this.#database;
    if (this.fenced && epoch < database.epoch) return false;
    database.hooks.epochTaken(database, epoch);
    database.fileEpoch = epoch;
    return true;
  }

  /** Work of the adapter: ends with the operation. */
  #later(operation: Operation, delayMs: number, run: () => void): void {
    this.#database.sim.after(delayMs, () => {
      if (!operation.over && this.#database.process.machine.up) run();
    });
  }

  /** Work of the server: goes on when nobody waits for it any more, ends with the server, and whoever waits is told. */
  #inServer(operation: Operation, delayMs: number, run: () => void): void {
    const { process, sim } = this.#database;
    const { generation } = process;
    sim.after(delayMs, () => {
      if (process.alive && process.generation === generation) process.deliver(run, generation);
      else operation.done(failed('CTM_DATABASE_SERVER_DIED', 'the server ended meanwhile'));
    });
  }

  // --- promote -------------------------------------------------------------------------------------------------------

  #promote(operation: Operation, epoch: number, token: DemotionToken | null, timeoutMs: number): void {
    const database = this.#database;
    const { faults, times, sim } = database;
    if (database.shape === 'empty' || database.head === null) {
      return operation.done(failed('CTM_DATABASE_EMPTY', 'there is no cluster to promote'));
    }
    if (faults.promote === 'fails') {
      const message = 'the server refused to promote';
      return this.#later(operation, times.promoteMs, () => operation.done(failed('CTM_DATABASE_PROMOTE_FAILED', message)));
    }
    if (token !== null && !this.#proves(token, epoch)) {
      const startedMs = sim.nowMs;
      const again = (): void => {
        if (this.#proves(token, epoch)) return this.#promoteNow(operation, epoch);
        if (sim.nowMs - startedMs > timeoutMs / 2) {
          return operation.done(failed('CTM_DATABASE_TOKEN_MISMATCH', `the history does not end at ${token.checkpointLsn}`));
        }
        this.#later(operation, timeoutMs / POLLS, again);
      };
      return database.role === 'down' ? this.#startToAsk(operation, again) : again();
    }
    this.#promoteNow(operation, epoch);
  }

  /** What its directory does not prove the running server may. It stays up, whatever it says. */
  #startToAsk(operation: Operation, ask: () => void): void {
    const database = this.#database;
    database.process.start();
    database.setRole('starting');
    this.#failsIfKilled(operation);
    this.#inServer(operation, database.times.startMs, () => {
      database.runAsShaped();
      ask();
    });
  }

  #proves(token: DemotionToken, epoch: number): boolean {
    const { head, replayed, shape, role } = this.#database;
    if (head === null || replayed === null) return false;
    const is = (at: LogEntry | null): boolean => at !== null && at.timeline === token.timeline && at.lsn === token.checkpointLsn;
    if (shape === 'standby') return is(role === 'standby' ? replayed : head);
    // Recorded under this very epoch, it proved the token then; the giver itself may have been started since.
    if (head.epoch === epoch || is(branchOf(head))) return true;
    return head.timeline === token.timeline && is(entryOf(head, token.checkpointLsn));
  }

  #promoteNow(operation: Operation, epoch: number): void {
    const database = this.#database;
    const { faults, times, sim } = database;
    const hangs = faults.promote === 'hangs' || faults.hung;
    // A hung promotion comes to its end long after everybody has stopped waiting for it, or never.
    const extraMs = hangs ? (sim.prng.chance(0.5) ? times.promoteMs * 40 : Number.POSITIVE_INFINITY) : 0;
    const { generation } = database.process;
    if (hangs && database.role === 'standby') this.#hung = { generation, takeEffect: () => this.#becomePrimary(operation, epoch, true) };
    if (extraMs === Number.POSITIVE_INFINITY) return;
    database.synchronous = [];
    if (database.role === 'primary') {
      database.settleWaiting();
      return this.#inServer(operation, times.promoteMs / 10 + extraMs, () => this.#prove(operation, epoch));
    }
    if (database.role === 'down') {
      const wasStandby = database.shape === 'standby';
      database.process.start();
      database.setRole('starting');
      return this.#inServer(operation, times.startMs + extraMs, () => this.#becomePrimary(operation, epoch, wasStandby));
    }
    this.#inServer(operation, times.promoteMs + extraMs, () => this.#becomePrimary(operation, epoch, database.role === 'standby'));
  }

  /** What hung takes effect now, whoever still waits for it. False: nothing hangs in this server. */
  endHang(): boolean {
    const { process, role } = this.#database;
    const hung = this.#hung;
    this.#hung = null;
    if (hung === null || !process.running || process.generation !== hung.generation || role !== 'standby') return false;
    hung.takeEffect();
    return true;
  }

  #becomePrimary(operation: Operation, epoch: number, newTimeline: boolean): void {
    const database = this.#database;
    if (database.head === null) return;
    database.dropReceiver();
    if (newTimeline) database.head = append(database.head, { timeline: database.head.timeline + 1 });
    database.runAsPrimary();
    this.#inServer(operation, database.times.promoteMs / 10, () => this.#prove(operation, epoch));
  }

  /** The write that proves it, with the epoch's own check in SQL. */
  #prove(operation: Operation, epoch: number): void {
    const database = this.#database;
    if (database.role !== 'primary' || database.head === null || operation.over) return;
    if (this.fenced && database.head.epoch > epoch) {
      return operation.done(failed('CTM_EPOCH_STALE', `epoch ${epoch} is below ${database.head.epoch}`));
    }
    database.head = append(database.head, { epoch });
    database.replayed = database.head;
    database.hooks.promoted(database, epoch);
    database.flush();
    operation.done(done_);
    if (database.faults.promote === 'crashes-after') database.stop();
  }

  // --- demote --------------------------------------------------------------------------------------------------------

  #demote(operation: Operation, timeoutMs: number): void {
    const database = this.#database;
    if (database.role === 'down' && database.shape === 'primary' && database.head !== null) return this.#giveToken(operation);
    if (database.role !== 'primary' || database.head === null || database.faults.hung) {
      return operation.done(failed('CTM_DATABASE_NOT_PRIMARY', `the database is ${database.role}`));
    }
    // A fast shutdown ends the sessions: those that waited for the standby have committed, and do not know.
    database.cancelWaits();
    database.setRole('starting');
    database.head = append(database.head, {});
    const checkpoint = database.head;
    database.flush();
    const stopWhenSent = (): void => {
      const behind = [...database.senders.values()].some((stream) => stream.alive && stream.replayed.index < checkpoint.index);
      if (behind) return this.#inServer(operation, timeoutMs / POLLS / 4, stopWhenSent);
      database.stop();
      database.hooks.demoted(checkpoint);
      this.#giveToken(operation);
    };
    this.#inServer(operation, database.times.stopMs, stopWhenSent);
  }

  #giveToken(operation: Operation): void {
    const { head } = this.#database;
    if (head === null) return;
    const token = { systemIdentifier: head.systemIdentifier, timeline: head.timeline, checkpointLsn: head.lsn };
    operation.done({ ok: true, token, detail: `ends at ${token.checkpointLsn}` });
  }

  // --- rejoin --------------------------------------------------------------------------------------------------------

  #rejoin(operation: Operation, { source: region, preserve, epoch }: Extract<DatabaseAction, { kind: 'rejoin' }>): void {
    const database = this.#database;
    const source = this.#peers.get(region);
    if (source === undefined) return operation.done(failed('CTM_DATABASE_SOURCE_UNKNOWN', region));
    if (database.faults.hung) {
      const fail = (): void => operation.done(failed('CTM_DATABASE_TIMEOUT', 'the server did not stop in time'));
      return this.#later(operation, 4 * database.times.startMs, fail);
    }
    if (preserve) {
      if (database.shape !== 'standby') {
        return operation.done(failed('CTM_DATABASE_WOULD_DISCARD', `a ${database.shape}-shaped member may not be kept as a standby`));
      }
      return this.#startAsStandby(operation, source, 'start');
    }
    if (!this.#reaches(source)) return this.#unreachable(operation);
    if (!isProved(source, epoch)) {
      const message = `the primary has not recorded epoch ${epoch}`;
      return this.#later(operation, database.times.stopMs, () => operation.done(failed('CTM_DATABASE_SOURCE_UNPROVED', message)));
    }
    database.stop();
    const { head } = database;
    const { head: target } = source;
    if (head === null || database.shape === 'empty' || target === null) return this.#copy(operation, source);
    // A former primary compares its log with the source's; a standby is started, and the servers compare numbers.
    const follows = database.shape === 'primary' ? contains(target, head) : canStream(target, head);
    if (follows) return this.#startAsStandby(operation, source, 'start');
    // On one timeline number pg_rewind sees nothing to do, whatever the histories are.
    if (head.timeline === target.timeline) return this.#copy(operation, source);
    if (database.faults.rewindImpossible) return this.#copy(operation, source);
    this.#later(operation, database.times.rewindMs, () => {
      if (!this.#reaches(source) || source.head === null) {
        // Stopped half-way, a rewound directory is neither here nor there.
        database.shape = 'empty';
        return this.#unreachable(operation);
      }
      database.hooks.discarded(database, source.head);
      database.head = source.head;
      database.replayed = source.head;
      database.shape = 'standby';
      this.#startAsStandby(operation, source, 'rewind');
    });
  }

  #copy(operation: Operation, source: Database): void {
    const database = this.#database;
    database.shape = 'empty';
    this.#later(operation, database.times.copyMs, () => {
      if (!this.#reaches(source) || source.head === null) return this.#unreachable(operation);
      database.hooks.discarded(database, source.head);
      database.head = source.head;
      database.replayed = source.head;
      database.shape = 'standby';
      this.#startAsStandby(operation, source, 'base-backup');
    });
  }

  #startAsStandby(operation: Operation, source: Database, method: string): void {
    const database = this.#database;
    if (database.role === 'standby' && database.process.alive) {
      database.runAsStandby(source);
      return operation.done({ ok: true, token: null, detail: method });
    }
    database.stop();
    database.shape = 'standby';
    database.source = source;
    database.process.start();
    database.setRole('starting');
    this.#failsIfKilled(operation);
    this.#inServer(operation, database.times.startMs, () => {
      database.runAsStandby(source);
      operation.done({ ok: true, token: null, detail: method });
    });
  }

  /** A server that ends while it starts is seen by whoever started it. */
  #failsIfKilled(operation: Operation): void {
    const { process, times } = this.#database;
    const { generation } = process;
    const look = (): void => {
      if (operation.over) return;
      if (process.alive && process.generation === generation) return this.#later(operation, times.startMs, look);
      operation.done(failed('CTM_DATABASE_START_FAILED', 'the server ended while it started'));
    };
    this.#later(operation, times.startMs, look);
  }

  #reaches(source: Database): boolean {
    const forward = source.links.get(this.#database.region);
    const backward = this.#database.links.get(source.region);
    if (forward === undefined || backward === undefined || forward.isCut || backward.isCut) return false;
    return source.process.running && source.role === 'primary' && !source.faults.hung;
  }

  #unreachable(operation: Operation): void {
    const fail = (): void => operation.done(failed('CTM_DATABASE_SOURCE_UNREACHABLE', 'the primary does not answer'));
    this.#later(operation, this.#database.times.startMs, fail);
  }

  // --- synchronous ---------------------------------------------------------------------------------------------------

  #setSynchronous(operation: Operation, standbys: readonly string[], timeoutMs: number): void {
    const database = this.#database;
    if (database.role !== 'primary' || database.faults.hung) {
      return operation.done(failed('CTM_DATABASE_NOT_PRIMARY', `the database is ${database.role}`));
    }
    this.#inServer(operation, database.times.promoteMs / 20, () => {
      if (database.role !== 'primary') return operation.done(failed('CTM_DATABASE_NOT_PRIMARY', 'it stopped'));
      database.synchronous = standbys;
      database.settleWaiting();
      // What is committed from here on waits by itself; under a steady load the end of the log is never reached.
      const { head } = database;
      const wait = (): void => {
        if (operation.over) return;
        if (database.caughtUpTo(head)) return operation.done(done_);
        this.#inServer(operation, timeoutMs / POLLS, wait);
      };
      wait();
    });
  }
}

const done_: OperationResult = { ok: true, token: null, detail: 'done' };

/** Before its promotion is proved under this epoch it may still be refused, and what it would replace is all there is. */
function isProved({ head }: Database, epoch: number): boolean {
  return head !== null && head.epoch >= epoch;
}

function failed(code: string, message: string): OperationResult {
  return { ok: false, code, message };
}
