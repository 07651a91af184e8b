// One region's PowerDNS, as far as it answers the application's name: it runs the LUA record that the core wrote. It probes nothing
// before it was first asked, so its first answers rest on nothing; an older one begins its first probe up to an interval later; with
// nobody up it asks its backup selector; an option or a selector that it is too old for it passes over without a word; a restart
// forgets everything. A probe that waits at the gate for a change is answered at once here: this server knows less than the real one.

import type { PdnsVersion } from '@continuum/core';
import { knows } from '@continuum/core';
import type { Machine } from '../machine.ts';
import { Process } from '../machine.ts';
import type { Simulation } from '../simulation.ts';

export type LuaRecord = {
  /** Each list of addresses; one for a flat list. */
  readonly groups: readonly (readonly string[])[];
  readonly options: ReadonlyMap<string, string>;
};

/** Asks one region's gateway for the lease-gated path, and may never come back. */
export type Probe = (address: string, take: (isActive: boolean) => void) => void;

export type NameServerHooks = {
  /** `probed`: what this server knows of each address. Null: SERVFAIL. */
  readonly answered: (server: NameServer, addresses: readonly string[] | null, probed: ReadonlyMap<string, boolean>) => void;
};

export class NameServer {
  readonly region: string;
  readonly process: Process;
  readonly version: PdnsVersion;
  readonly probed = new Map<string, boolean>();
  readonly #sim: Simulation;
  readonly #record: LuaRecord;
  readonly #addresses: readonly string[];
  readonly #intervalMs: number;
  readonly #probe: Probe;
  readonly #hooks: NameServerHooks;
  readonly #failures = new Map<string, number>();
  readonly #failuresNeeded: number;
  readonly #is50: boolean;
  readonly #is51: boolean;
  /** Probes of the last round that were not answered yet. */
  #waiting = new Set<string>();
  #isProbing = false;

  constructor(
    sim: Simulation,
    machine: Machine,
    options: { region: string; version: PdnsVersion; content: string; intervalMs: number; probe: Probe },
    hooks: NameServerHooks,
  ) {
    this.#sim = sim;
    this.region = options.region;
    this.version = options.version;
    this.#record = readLuaRecord(options.content);
    this.#addresses = this.#record.groups.flat();
    this.#is50 = knows(this.version, '5.0');
    this.#is51 = knows(this.version, '5.1');
    this.#failuresNeeded = this.#is50 ? Number(this.#record.options.get('minimumFailures') ?? 1) : 1;
    this.#intervalMs = options.intervalMs;
    this.#probe = options.probe;
    this.#hooks = hooks;
    this.process = new Process(sim, machine, `${options.region}/pdns`);
  }

  start(): void {
    this.process.start();
    this.probed.clear();
    this.#failures.clear();
    this.#waiting.clear();
    this.#isProbing = false;
  }

  query(take: (addresses: readonly string[] | null) => void): void {
    this.process.deliver(() => {
      const answer = this.answer();
      this.#hooks.answered(this, answer, this.probed);
      take(answer);
    });
  }

  /** What it would answer now; a question begins the probing. */
  answer(): readonly string[] | null {
    const option = (name: string): string | undefined => this.#record.options.get(name);
    if (!this.#isProbing) {
      this.#beginProbing();
      // The first question alone, whatever the option's name promises for those after it.
      if (this.#is50 && option('failOnIncompleteCheck') === 'true') return null;
    }
    for (const group of this.#record.groups) {
      const up = group.filter((address) => this.probed.get(address) === true);
      if (up.length > 0) return this.#select(option('selector'), up);
    }
    const backup = this.#is51 ? (this.#record.groups[0] ?? []) : this.#addresses;
    const selector = option('backupSelector');
    return selector === 'empty' && this.#is51 ? [] : this.#select(selector, backup);
  }

  #select(selector: string | undefined, from: readonly string[]): readonly string[] {
    if (selector === 'all') return from;
    if (selector === 'hashed' || selector === 'pickclosest') return from.slice(0, 1);
    // What is not known is taken for `random`, and so is nothing.
    return [this.#sim.prng.pick(from)];
  }

  #beginProbing(): void {
    this.#isProbing = true;
    if (this.#is51) this.#round();
    else this.process.after(this.#sim.prng.between(0, this.#intervalMs), () => this.#round());
  }

  #round(): void {
    for (const address of this.#waiting) this.#learn(address, false);
    this.#waiting = new Set(this.#addresses);
    const { generation } = this.process;
    const waiting = this.#waiting;
    for (const address of this.#addresses) {
      this.#probe(address, (isActive) =>
        this.process.deliver(() => {
          // What comes after the next round began has timed out.
          if (waiting !== this.#waiting || !waiting.delete(address)) return;
          this.#learn(address, isActive);
        }, generation),
      );
    }
    this.process.after(this.#intervalMs, () => this.#round());
  }

  #learn(address: string, isActive: boolean): void {
    const failures = isActive ? 0 : (this.#failures.get(address) ?? 0) + 1;
    this.#failures.set(address, failures);
    // An address that was never up, too, is taken for up until it has failed so often.
    this.probed.set(address, failures < this.#failuresNeeded);
  }
}

/** `A "ifurlup('url',{...},{name='value',...})"`, as the core writes it. */
export function readLuaRecord(content: string): LuaRecord {
  const text = [...content.matchAll(/"([^"]*)"/g)].map(([, segment]) => segment).join('');
  const [, lists = '', options = ''] = /^ifurlup\('[^']*',\{(.*)\},\{([^{}]*)\}\)$/.exec(text) ?? [];
  if (lists === '') throw new Error(`the model does not know the LUA record ${content}`);
  const texts = (list: string): string[] => [...list.matchAll(/'([^']*)'/g)].map(([, address = '']) => address);
  const groups = lists.includes('{') ? [...lists.matchAll(/\{([^{}]*)\}/g)].map(([, list = '']) => texts(list)) : [texts(lists)];
  return { groups, options: new Map([...options.matchAll(/(\w+)='([^']*)'/g)].map(([, name = '', value = '']) => [name, value])) };
}
