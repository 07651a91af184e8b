// What the books of I3 find: a write that is there twice, and after a forced takeover exactly what was chosen to be lost is forgiven.

import { test } from 'tap';
import { Machine } from '../machine.ts';
import { Marks } from '../marks.ts';
import { Database } from '../models/database.ts';
import { append } from '../models/history.ts';
import type { LogEntry } from '../models/history.ts';
import { Simulation, ViolationError } from '../simulation.ts';
import { HistoryChecker } from './history.ts';
import { LeaseChecker } from './lease.ts';

const TIMES = { streamTimeoutMs: 1, reconnectMs: 1, startMs: 1, promoteMs: 1, stopMs: 1, rewindMs: 1, copyMs: 1 };

class Books {
  readonly sim = new Simulation(1, false);
  readonly #lease = new LeaseChecker(this.sim, new Marks(), 0, () => 1);
  readonly checker = new HistoryChecker(this.sim, this.#lease);
  readonly r1 = this.#database('r1');
  readonly r2 = this.#database('r2');

  constructor() {
    this.r1.initialise('1');
    this.r2.head = this.r1.head;
    this.promote(this.r1, 1);
    this.r2.head = this.r1.head;
    this.checker.streams(this.r2, this.r1);
  }

  promote(database: Database, epoch: number, forced = false): void {
    this.#lease.grants.set(epoch, { region: database.region, forced, planned: false, doubtful: false, atMs: 0 });
    database.head = append(database.head as LogEntry, { epoch });
    this.checker.promoted(database, epoch);
  }

  /** Committed and acknowledged; nothing replicates by itself. */
  write(database: Database, writeId: number): void {
    database.head = append(database.head as LogEntry, { writeId });
    this.checker.acknowledged(database.head);
    this.checker.ended(writeId, 'ok');
  }

  #database(region: string): Database {
    const nothing = (): void => undefined;
    const hooks = { promoted: nothing, acknowledged: nothing, epochTaken: nothing, diverged: nothing, streams: nothing, demoted: nothing, discarded: nothing };
    return new Database(this.sim, new Machine(this.sim, region, 0, 0), region, `${region}.db`, TIMES, hooks);
  }
}

test('a write that is there twice is named', async (t) => {
  const { checker, r1 } = new Books();
  r1.head = append(append(r1.head as LogEntry, { writeId: 7 }), { writeId: 7 });
  t.throws(() => checker.close(r1), new ViolationError('I3', 'write 7 is there twice'));
});

test('what a forced takeover loses is forgiven, also when the old side acknowledges it later', async (t) => {
  const books = new Books();
  const { checker, r1, r2 } = books;
  books.write(r1, 1);
  books.promote(r2, 2, true);
  books.write(r1, 2);
  books.write(r2, 3);
  t.doesNotThrow(() => checker.close(r2));
});

test('what is acknowledged after a forced takeover counts again, in either region', async (t) => {
  const books = new Books();
  const { checker, r1, r2 } = books;
  books.promote(r2, 2, true);
  r1.head = r2.head;
  checker.streams(r1, r2);
  books.promote(r1, 3);
  const before = r1.head as LogEntry;
  books.write(r1, 4);
  t.throws(() => checker.close(r2), new ViolationError('I3', 'write 4 was acknowledged and is not there'));
  r2.head = before;
  checker.streams(r2, r1);
  t.throws(() => books.promote(r2, 4), new ViolationError('I3', 'r2 was promoted in epoch 4 without the acknowledged write 4'));
});

test('a write that was lost and is acknowledged again where it counts is not forgiven any more', async (t) => {
  const books = new Books();
  const { checker, r1, r2 } = books;
  books.write(r1, 1);
  books.promote(r2, 2, true);
  const before = r2.head as LogEntry;
  books.write(r2, 1);
  t.doesNotThrow(() => checker.close(r2));
  r2.head = before;
  t.throws(() => checker.close(r2), new ViolationError('I3', 'write 1 was acknowledged and is not there'));
});
