// What the gate tells an operator, as Prometheus metrics on an HTTP port of its own.

import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';

export type GateMetrics = {
  readonly registry: Registry;
  readonly checks: Counter<'verdict'>;
  readonly staleInstructions: Counter;
  readonly unsavedEpochs: Counter;
  readonly linkGarbage: Counter;
  readonly linkConnections: Counter;
  readonly cancelledHolds: Counter;
};

export type GateReadings = {
  readonly held: () => number;
  readonly waitingProbes: () => number;
  readonly remainingMs: () => number;
  readonly epoch: () => number;
  readonly connected: () => boolean;
  readonly mode: () => string;
};

const MODES = ['none', 'open', 'hold', 'forward', 'closed'] as const;

export function createGateMetrics(read: GateReadings): GateMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  gauge(registry, 'continuum_gate_held_requests', 'Requests that wait now.', read.held);
  gauge(registry, 'continuum_gate_waiting_probes', 'Probes of name servers that wait for a change.', read.waitingProbes);
  gauge(registry, 'continuum_gate_validity_remaining_seconds', 'How long this gate may still serve; 0 when fenced.', () =>
    read.remainingMs() / 1_000,
  );
  gauge(registry, 'continuum_gate_epoch', 'Highest epoch this gate has accepted.', read.epoch);
  gauge(registry, 'continuum_gate_link_connected', '1 while the controller is connected.', () => (read.connected() ? 1 : 0));
  new Gauge({
    name: 'continuum_gate_mode',
    help: '1 for the mode in force; none before the first instruction.',
    labelNames: ['mode'],
    registers,
    collect() {
      for (const mode of MODES) this.set({ mode }, mode === read.mode() ? 1 : 0);
    },
  });
  const counter = (name: string, help: string): Counter => new Counter({ name, help, registers });
  return {
    registry,
    checks: new Counter({
      name: 'continuum_gate_checks_total',
      help: 'Requests by verdict: allow, forward, or the code of the refusal.',
      labelNames: ['verdict'],
      registers,
    }),
    staleInstructions: counter('continuum_gate_stale_instructions_total', 'Instructions refused: epoch below the highest.'),
    unsavedEpochs: counter('continuum_gate_unsaved_epochs_total', 'Instructions refused: the epoch could not be saved.'),
    linkGarbage: counter('continuum_gate_link_garbage_total', 'Messages of the controller that were not of the protocol.'),
    linkConnections: counter('continuum_gate_link_connections_total', 'Connections to the controller that were made.'),
    cancelledHolds: counter('continuum_gate_cancelled_total', 'Held requests and probes whose client gave up.'),
  };
}

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}
