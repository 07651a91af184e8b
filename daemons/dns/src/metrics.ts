// What the beacon and the keys in files tell an operator.

import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';

export type BeaconMetrics = {
  readonly answers: Counter<'kind' | 'transport'>;
  readonly dropped: Counter<'reason' | 'transport'>;
};

export type BeaconReadings = {
  readonly leases: readonly string[];
  readonly connected: (lease: string) => boolean;
  readonly remainingMs: (lease: string) => number;
};

export function createBeaconMetrics(registry: Registry, read: BeaconReadings): BeaconMetrics {
  const registers = [registry];
  const perLease = (name: string, help: string, value: (lease: string) => number): void => {
    new Gauge({
      name,
      help,
      labelNames: ['lease'],
      registers,
      collect() {
        for (const lease of read.leases) this.set({ lease }, value(lease));
      },
    });
  };
  perLease('continuum_beacon_link_connected', '1 while the controller is connected.', (lease) => (read.connected(lease) ? 1 : 0));
  perLease('continuum_beacon_attests_seconds', 'For how long this region still holds the lease; 0 when it attests nothing.', (lease) => read.remainingMs(lease) / 1_000);
  return {
    answers: new Counter({ name: 'continuum_beacon_answers_total', help: 'Answers by kind and transport.', labelNames: ['kind', 'transport'], registers }),
    dropped: new Counter({ name: 'continuum_beacon_dropped_total', help: 'What was not answered, or cut short, by reason and transport.', labelNames: ['reason', 'transport'], registers }),
  };
}

export function createKeyMetrics(registry: Registry): { readonly unusable: Gauge<'field'> } {
  const help = '1 while the file of a key cannot be used and the key before stays in force, by where the configuration names it.';
  return { unusable: new Gauge({ name: 'continuum_dns_key_unusable', help, labelNames: ['field'], registers: [registry] }) };
}
