// One member of the PostgreSQL pair, as badly behaved as the real one: a commit that waits for its standby is visible before it
// is safe, a cancelled wait stays in the log, a stream that is cut looks alive until it times out, a promotion takes a
// number as its new timeline that another member may take as well. What it refuses, it refuses as the port's contract says.

import type { DatabaseObservation, StandbyView } from '@continuum/core';
import type { Link } from '../network.ts';
import { Process } from '../machine.ts';
import type { Machine } from '../machine.ts';
import type { Simulation } from '../simulation.ts';
import { append, canStream, contains, lagBytes, newHistory } from './history.ts';
import type { LogEntry } from './history.ts';

export type DatabaseRole = 'primary' | 'standby' | 'down' | 'starting';
export type DatabaseShape = 'primary' | 'standby' | 'empty';

export type CommitOutcome = 'committed' | 'refused' | 'unknown';

type Waiting = { readonly entry: LogEntry; readonly settle: (outcome: CommitOutcome) => void };

/** One standing replication stream; `replayed` is what the primary was told. */
export type Stream = {
  readonly source: Database;
  readonly standby: Database;
  readonly forward: Link;
  readonly backward: Link;
  alive: boolean;
  sent: LogEntry;
  replayed: LogEntry;
};

export type DatabaseTimes = {
  readonly streamTimeoutMs: number;
  readonly reconnectMs: number;
  readonly startMs: number;
  readonly promoteMs: number;
  readonly stopMs: number;
  readonly rewindMs: number;
  readonly copyMs: number;
};

/** Ways in which this member misbehaves now; set and cleared by the nemeses. */
export type DatabaseFaults = {
  /** Its queries are not answered: it can only be observed as unknown. */
  hung: boolean;
  replayFrozen: boolean;
  /** Somebody paused replay: it stands still, and says so. */
  replayPaused: boolean;
  /** Its walreceiver does not run: nothing arrives, and it looks connected until the primary gives it up. Set by `freezeReceiver`. */
  receiverFrozen: boolean;
  lagMissing: boolean;
  promote: 'ok' | 'hangs' | 'fails' | 'crashes-after';
  rewindImpossible: boolean;
  /** The application's connections give up their wait for the standby. */
  cancelWaits: boolean;
};

const NO_FAULTS: DatabaseFaults = {
  hung: false,
  replayFrozen: false,
  replayPaused: false,
  receiverFrozen: false,
  lagMissing: false,
  promote: 'ok',
  rewindImpossible: false,
  cancelWaits: false,
};

export type DatabaseHooks = {
  readonly promoted: (database: Database, epoch: number) => void;
  readonly acknowledged: (entry: LogEntry) => void;
  readonly epochTaken: (database: Database, epoch: number) => void;
  readonly diverged: (standby: Database, source: Database) => void;
  readonly streams: (standby: Database, source: Database) => void;
  readonly demoted: (entry: LogEntry) => void;
  /** What this member had is replaced by that history. */
  readonly discarded: (database: Database, by: LogEntry) => void;
};

export class Database {
  readonly region: string;
  readonly address: string;
  readonly process: Process;
  readonly times: DatabaseTimes;
  readonly hooks: DatabaseHooks;
  readonly sim: Simulation;
  faults: DatabaseFaults = { ...NO_FAULTS };
  role: DatabaseRole = 'down';
  shape: DatabaseShape = 'empty';
  head: LogEntry | null = null;
  replayed: LogEntry | null = null;
  /** The compare-and-set file beside the data directory; durable. */
  fileEpoch = 0;
  /** What `synchronous_standby_names` says; durable. */
  synchronous: readonly string[] = [];
  /** Whom this member follows when it runs as a standby; durable. */
  source: Database | null = null;
  receiver: Stream | null = null;
  readonly senders = new Map<string, Stream>();
  /** Links to the other members' databases, by region. */
  readonly links = new Map<string, Link>();
  cancelledVisible: LogEntry | null = null;
  /** Off only to prove that the simulation sees what the key prevents. */
  uniqueKey = true;
  #waiting: Waiting[] = [];
  #reconnecting = false;
  #unread: { readonly stream: Stream; readonly head: LogEntry } | null = null;

  constructor(sim: Simulation, machine: Machine, region: string, address: string, times: DatabaseTimes, hooks: DatabaseHooks) {
    this.sim = sim;
    this.region = region;
    this.address = address;
    this.times = times;
    this.hooks = hooks;
    this.process = new Process(sim, machine, `${region}/postgres`);
    this.process.onKill = () => this.#died();
  }

  /** `initdb`: a primary-shaped data directory. */
  initialise(systemIdentifier: string): void {
    this.head = newHistory(systemIdentifier);
    this.replayed = this.head;
    this.shape = 'primary';
  }

  healFaults(): void {
    this.faults = { ...NO_FAULTS };
    this.thawReceiver();
    this.receive();
  }

  get epoch(): number {
    return Math.max(this.fileEpoch, this.head?.epoch ?? 0);
  }

  setRole(role: DatabaseRole): void {
    if (this.role === role) return;
    this.sim.note(this.process.name, () => `${this.role} -> ${role}`);
    this.role = role;
  }

  // --- running -------------------------------------------------------------------------------------------------------

  runAsPrimary(): void {
    this.shape = 'primary';
    this.source = null;
    this.setRole('primary');
    this.replayed = this.head;
  }

  runAsStandby(source: Database | null): void {
    this.shape = 'standby';
    this.source = source;
    this.setRole('standby');
    this.dropReceiver();
    this.connectSoon(1);
  }

  /** What its directory says that it is, once it has started. */
  runAsShaped(): void {
    if (this.shape === 'primary') this.runAsPrimary();
    else this.runAsStandby(this.source);
  }

  /** The server process ends; the data directory stays. */
  stop(): void {
    this.process.kill();
  }

  #died(): void {
    this.setRole('down');
    this.dropReceiver();
    for (const stream of [...this.senders.values()]) stream.standby.dropReceiver();
    this.#settleAll('unknown');
  }

  // --- writes --------------------------------------------------------------------------------------------------------

  /**
   * One INSERT ... ON CONFLICT (id) DO UPDATE, and its commit. A row that is there already is written again, so that this commit waits for
   * the standby as the first one should have: DO NOTHING writes nothing, waits for nothing, and acknowledges what may still vanish.
   * `repeated`: more than one request carries this id; only then can the row be there.
   */
  commit(writeId: number, repeated: boolean, settle: (outcome: CommitOutcome) => void): void {
    if (this.role !== 'primary' || this.head === null) return settle('refused');
    const isThere = this.uniqueKey && repeated && this.has(writeId);
    const entry = this.#log(isThere ? 0 : writeId);
    if (this.faults.hung) {
      this.#waiting.push({ entry, settle });
      return;
    }
    this.flush();
    if (this.#isSafe(entry)) return this.#acknowledge(entry, settle);
    this.#waiting.push({ entry, settle });
    if (this.faults.cancelWaits) this.cancelWaits();
  }

  /** A statement timeout: the wait ends, the row is there for every reader, and nobody knows whether it is safe. */
  cancelWaits(): void {
    const last = this.#waiting.at(-1);
    if (last !== undefined) this.cancelledVisible = last.entry;
    this.#settleAll('unknown');
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  has(writeId: number): boolean {
    for (let entry = this.head; entry !== null; entry = entry.parent) if (entry.writeId === writeId) return true;
    return false;
  }

  #log(writeId: number): LogEntry {
    const entry = append(this.head as LogEntry, { writeId });
    this.head = entry;
    this.replayed = entry;
    return entry;
  }

  #isSafe(entry: LogEntry): boolean {
    return this.synchronous.every((region) => {
      const stream = this.senders.get(region);
      return stream !== undefined && stream.alive && stream.replayed.index >= entry.index;
    });
  }

  #acknowledge(entry: LogEntry, settle: (outcome: CommitOutcome) => void): void {
    this.hooks.acknowledged(entry);
    settle('committed');
  }

  /** Something changed for those who wait: a standby answered, or nobody needs to be waited for. */
  settleWaiting(): void {
    if (this.#waiting.length === 0 || this.role !== 'primary' || this.faults.hung) return;
    const still: Waiting[] = [];
    for (const waiting of this.#waiting) {
      if (this.#isSafe(waiting.entry)) this.#acknowledge(waiting.entry, waiting.settle);
      else still.push(waiting);
    }
    this.#waiting = still;
  }

  #settleAll(outcome: CommitOutcome): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { settle } of waiting) settle(outcome);
  }

  /** Every named standby has replayed all that was committed up to there. */
  caughtUpTo(entry: LogEntry | null): boolean {
    return entry !== null && this.#isSafe(entry);
  }

  // --- replication ---------------------------------------------------------------------------------------------------

  /** Sends what is new to every standby that is connected. */
  flush(): void {
    if (!this.process.running || this.head === null) return;
    for (const stream of this.senders.values()) this.#send(stream);
  }

  #send(stream: Stream): void {
    const head = this.head as LogEntry;
    if (!stream.alive || stream.sent === head || stream.forward.isCut) return;
    stream.sent = head;
    stream.forward.send(() => {
      if (stream.alive) stream.standby.process.deliver(() => stream.standby.received(stream, head));
    });
  }

  received(stream: Stream, head: LogEntry): void {
    if (!stream.alive || this.head === null || head.index <= this.head.index) return;
    if (this.faults.receiverFrozen) {
      this.#unread = { stream, head };
      return;
    }
    if (!contains(head, this.head)) this.hooks.diverged(this, stream.source);
    this.head = head;
    this.receive();
  }

  /** Replays what has arrived, and says so. */
  receive(): void {
    const { receiver, head } = this;
    const { replayFrozen, replayPaused, hung } = this.faults;
    if (head === null || this.role !== 'standby' || replayFrozen || replayPaused || hung) return;
    this.replayed = head;
    if (receiver === null || !receiver.alive) return;
    for (const cascaded of this.senders.values()) this.#send(cascaded);
    receiver.backward.send(() => {
      if (receiver.alive) receiver.source.process.deliver(() => receiver.source.told(receiver, head));
    });
  }

  freezeReceiver(): void {
    this.faults.receiverFrozen = true;
    this.streamMayBreak();
  }

  /** What waited in the socket is read, if it still stands. */
  thawReceiver(): void {
    this.faults.receiverFrozen = false;
    const unread = this.#unread;
    this.#unread = null;
    if (unread !== null) this.received(unread.stream, unread.head);
  }

  told(stream: Stream, replayed: LogEntry): void {
    if (replayed.index <= stream.replayed.index) return;
    stream.replayed = replayed;
    this.settleWaiting();
  }

  connectSoon(delayMs: number): void {
    if (this.#reconnecting) return;
    this.#reconnecting = true;
    const { generation } = this.process;
    this.sim.after(delayMs, () => {
      this.#reconnecting = false;
      if (this.role !== 'standby' || this.receiver !== null) return;
      if (generation !== this.process.generation) return this.connectSoon(1);
      this.process.deliver(() => this.#connect());
      if (this.receiver === null) this.connectSoon(this.times.reconnectMs);
    });
  }

  #connect(): void {
    const { source, head } = this;
    if (this.role !== 'standby' || this.receiver !== null || source === null || head === null) return;
    if (!source.process.running || source.head === null) return;
    if (source.role !== 'primary' && source.role !== 'standby') return;
    const forward = source.links.get(this.region) as Link;
    const backward = this.links.get(source.region) as Link;
    if (forward.isCut || backward.isCut || !canStream(source.head, head)) return;
    if (!contains(source.head, head)) this.hooks.diverged(this, source);
    const replayed = this.replayed ?? head;
    const stream: Stream = { source, standby: this, forward, backward, alive: true, sent: head, replayed };
    this.receiver = stream;
    source.senders.get(this.region)?.standby.dropReceiver();
    source.senders.set(this.region, stream);
    this.receiver = stream;
    this.hooks.streams(this, source);
    source.flush();
    this.receive();
  }

  dropReceiver(): void {
    const stream = this.receiver;
    if (stream === null) return;
    stream.alive = false;
    this.receiver = null;
    if (stream.source.senders.get(this.region) === stream) stream.source.senders.delete(this.region);
    if (this.role === 'standby') this.connectSoon(this.times.reconnectMs);
  }

  /** A link or a process stopped: the stream is dropped when it is still silent after the timeout. */
  streamMayBreak(): void {
    for (const stream of [this.receiver, ...this.senders.values()]) {
      if (stream !== null) this.sim.after(this.times.streamTimeoutMs, () => checkStream(stream));
    }
  }

  // --- observation ---------------------------------------------------------------------------------------------------

  observe(): DatabaseObservation {
    const { head } = this;
    const shape = this.shape;
    if (this.faults.hung && this.role !== 'down') return nothingKnown('unknown', shape, 'the query was not answered in time');
    const running = this.process.alive && (this.role === 'primary' || this.role === 'standby');
    if (!running || head === null) {
      // The store beside the directory and the directory's control file can be read all the same.
      const onDisk = head === null ? {} : { systemIdentifier: head.systemIdentifier, timeline: head.timeline, lsn: head.lsn };
      const known = { ...nothingKnown(this.role === 'starting' ? 'starting' : 'down', shape, 'no server answers'), epoch: this.epoch };
      return known.role === 'down' && shape !== 'empty' ? { ...known, ...onDisk } : known;
    }
    const primary = this.role === 'primary';
    return {
      role: primary ? 'primary' : 'standby',
      shape,
      systemIdentifier: head.systemIdentifier,
      timeline: head.timeline,
      lsn: head.lsn,
      replayLsn: primary || this.faults.lagMissing ? null : (this.replayed ?? head).lsn,
      receiver: primary ? null : { streaming: this.receiver !== null, source: this.source?.address ?? null, messageAgeMs: null },
      replayPaused: primary ? null : this.faults.replayPaused,
      standbys: primary ? this.#standbys(head) : [],
      synchronous: this.synchronous,
      epoch: this.epoch,
      recordedEpoch: head.epoch,
      problem: null,
    };
  }

  #standbys(head: LogEntry): StandbyView[] {
    return [...this.senders.values()].map((stream) => ({
      region: stream.standby.region,
      state: 'streaming',
      syncState: this.synchronous.includes(stream.standby.region) ? 'sync' : 'async',
      replayLsn: stream.replayed.lsn,
      replayLagBytes: this.faults.lagMissing ? null : lagBytes(head, stream.replayed),
    }));
  }
}

function checkStream(stream: Stream): void {
  if (!stream.alive) return;
  const { source, standby, forward, backward } = stream;
  const silent = forward.isSilent || backward.isSilent || standby.faults.receiverFrozen;
  if (silent || !source.process.running || !standby.process.running) standby.dropReceiver();
}

function nothingKnown(role: 'unknown' | 'starting' | 'down', shape: DatabaseShape, problem: string): DatabaseObservation {
  return {
    role,
    shape,
    systemIdentifier: null,
    timeline: null,
    lsn: null,
    replayLsn: null,
    receiver: null,
    replayPaused: null,
    standbys: [],
    synchronous: [],
    epoch: 0,
    recordedEpoch: null,
    problem,
  };
}
