// What publishing tells an operator. A target that was not looked at yet has no sample.

import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Look } from './publish-target.ts';

export type PublishMetrics = {
  readonly looked: (target: string, look: Look, writes: number) => void;
  readonly rendered: (seconds: number) => void;
  readonly specInForce: (generation: number, accepted: boolean) => void;
  /** DNS named this region alone so long after it began to hold a lease; null when it did not while it held it. */
  readonly flipped: (lease: string, seconds: number | null) => void;
};

const NOTE_KINDS = ['lowered', 'static', 'needs'] as const;
const RENDER_SECONDS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.25];
const FLIP_SECONDS = [0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32];

export function createPublishMetrics(registry: Registry): PublishMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string, labelNames: string[] = []): Gauge => new Gauge({ name, help, labelNames, registers });
  const counter = (name: string, help: string, labelNames: string[]): Counter => new Counter({ name, help, labelNames, registers });
  const inPlace = gauge('continuum_dns_in_place', '1 while a target holds and answers what the specification says.', ['target']);
  const looks = counter('continuum_dns_looks_total', 'Looks at a target by what came of them; a failure by its code.', ['target', 'result']);
  const writes = gauge('continuum_dns_writes', 'Changes sent to a target since this daemon started. None belongs to a failover.', ['target']);
  const drift = counter('continuum_dns_drift_total', 'Looks that found records which somebody else had changed.', ['target']);
  const notes = gauge('continuum_dns_version_gate_notes', 'What the version of a target makes different from what was asked for.', ['target', 'kind']);
  const renders = new Histogram({ name: 'continuum_dns_render_seconds', help: 'From the specification to the records of one target.', buckets: RENDER_SECONDS, registers });
  const flips = new Histogram({ name: 'continuum_dns_flip_seconds', help: 'From the grant of a lease to this region until its name server named it alone.', labelNames: ['lease'], buckets: FLIP_SECONDS, registers });
  const unflipped = counter('continuum_dns_flips_missed_total', 'Times that this region held a lease and its name server never named it alone.', ['lease']);
  const generation = gauge('continuum_dns_spec_generation', 'metadata.generation of the specification in force.');
  const accepted = gauge('continuum_dns_spec_accepted', '0 while the specification file says something that cannot be used.');
  return {
    looked: (target, look, sent) => {
      const { outcome } = look;
      inPlace.set({ target }, outcome.kind === 'unchanged' || outcome.kind === 'written' ? 1 : 0);
      looks.inc({ target, result: outcome.kind === 'failed' ? outcome.failure.code : outcome.kind });
      writes.set({ target }, sent);
      if (look.drift.length > 0) drift.inc({ target });
      for (const kind of NOTE_KINDS) notes.set({ target, kind }, look.notes.filter((note) => note.kind === kind).length);
    },
    rendered: (seconds) => renders.observe(seconds),
    specInForce: (number, isAccepted) => {
      generation.set(number);
      accepted.set(isAccepted ? 1 : 0);
    },
    flipped: (lease, seconds) => {
      if (seconds === null) unflipped.inc({ lease });
      else flips.observe({ lease }, seconds);
    },
  };
}
