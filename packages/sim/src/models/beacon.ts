// One region's beacon: says through DNS what this region holds. It learns that from its controller as the gate does, counts it down on
// its machine's clock, and signs it for one question.

import type { Attestation, AttestationQuestion, GateState } from '@continuum/core';
import { CONTROL_LABEL, encodeAttestation, epoch, newGate, remainingValidityMs, takeInstruction } from '@continuum/core';
import type { Machine } from '../machine.ts';
import { Process } from '../machine.ts';
import type { Simulation } from '../simulation.ts';
import type { GateInstruction } from './instruction.ts';

/** What a controller answers when a beacon asks; nothing when nobody answers. */
export type TellGrant = (take: (instruction: GateInstruction | null) => void) => void;

const SIGNATURE_LENGTH = 86;

export class Beacon {
  readonly region: string;
  readonly process: Process;
  ask: TellGrant = () => undefined;
  onSigned: (question: AttestationQuestion, epoch: number, text: string) => void = () => undefined;
  #state: GateState;
  readonly #askIntervalMs: number;

  constructor(sim: Simulation, machine: Machine, region: string, askIntervalMs: number) {
    this.region = region;
    this.#askIntervalMs = askIntervalMs;
    this.process = new Process(sim, machine, `${region}/beacon`);
    this.#state = newGate(epoch(0), machine.now());
  }

  start(): void {
    this.process.start();
    this.#state = newGate(epoch(0), this.process.machine.now());
    this.#loop();
  }

  #loop(): void {
    const asked = this.process.machine.now();
    const { generation } = this.process;
    this.ask((instruction) =>
      this.process.deliver(() => {
        if (instruction === null || asked.monoMs < this.#state.asked.monoMs) return;
        this.#state = takeInstruction(this.#state, instruction, asked, instruction.remainingMs).state;
      }, generation),
    );
    this.process.after(this.#askIntervalMs, () => this.#loop());
  }

  /** The signed word for this question; null for an empty answer: the region does not hold the lease. */
  answer({ nonce, lease, region }: AttestationQuestion, reply: (text: string | null) => void): void {
    this.process.deliver(() => {
      const remainingMs = remainingValidityMs(this.#state, this.process.machine.now());
      const held = lease === CONTROL_LABEL ? { epoch: 0, remainingMs: 0 } : { epoch: this.#state.epochMax, remainingMs };
      if (lease !== CONTROL_LABEL && Math.floor(remainingMs) <= 0) return reply(null);
      const attestation = { nonce, lease, region, ...held };
      const text = encodeAttestation(attestation, signatureOf(attestation));
      this.onSigned(attestation, held.epoch, text);
      reply(text);
    });
  }
}

/** Binds every field to the region, as a signature does, and is spelled out instead of computed: nobody here tries to forge one. */
export function signatureOf({ nonce, lease, region, epoch: signed, remainingMs }: Attestation): string {
  return `${region}-${lease}-${nonce}-${signed}-${Math.floor(remainingMs)}`.padEnd(SIGNATURE_LENGTH, 'A');
}
