// The controller's metrics, in Prometheus' naming. What is unknown is absent: a gauge without a value has no sample.

import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { CastVote, ControllerState, Now, QuorumOutcome, Voter } from '@continuum/core';
import { actingEpoch, lsnDiffBytes } from '@continuum/core';

const PHASES = ['starting', 'standby', 'acquiring', 'promoting', 'active', 'handing-over', 'releasing', 'fenced', 'rejoining'];

export type Metrics = {
  readonly observe: (state: ControllerState, now: Now) => void;
  readonly recorded: (event: string) => void;
  readonly auditLost: (count: number) => void;
  /** A line from a lag prober. */
  readonly reported: (taken: boolean) => void;
  /** One round of the quorum. */
  readonly voted: (votes: readonly CastVote[], outcome: QuorumOutcome) => void;
  /** A resolver's datagram that answers nothing. */
  readonly strayed: (voter: Voter) => void;
  /** The file of the key for `register: dns` cannot be used, or can again. */
  readonly registerKeyUnusable: (unusable: boolean) => void;
  readonly render: () => Promise<string>;
};

export function createMetrics(name: string, region: string): Metrics {
  const registers = [new Registry()];
  const [registry] = registers as [Registry];
  registry.setDefaultLabels({ continuum: name, region });
  collectDefaultMetrics({ register: registry });
  const gauge = (metric: string, help: string, labelNames: string[] = []): Gauge => new Gauge({ name: metric, help, labelNames, registers });
  const phase = gauge('continuum_phase', 'Phase of this controller: 1 for the one that it is in.', ['phase']);
  const epoch = gauge('continuum_lease_epoch', 'Epoch of the lease as last seen at the witness.');
  const acting = gauge('continuum_lease_acting_epoch', 'Epoch under which this region may act; 0 when it may not.');
  const validity = gauge('continuum_lease_validity_seconds', 'Until this region stops by itself; 0 when it may not act.');
  const viewAge = gauge('continuum_witness_view_age_seconds', 'Age of what is known of the lease; absent when nothing is.');
  const inSync = gauge('continuum_in_sync', 'Whether a region may take over without loss, by the witness.', ['peer']);
  const replay = gauge('continuum_replay_lag_bytes', 'Log received and not replayed here; absent when unknown or a primary.');
  const unknown = gauge('continuum_replay_lag_unknown', '1 while the replay lag of this standby is unknown.');
  const follower = gauge('continuum_standby_promotable', 'Whether a standby may be counted on, by the own looks: 1 or 0; absent when unknown.', ['peer']);
  const reportAge = gauge('continuum_lag_report_age_seconds', 'Since a lag prober was heard; absent when none ever was.');
  const reports = new Counter({ name: 'continuum_lag_reports_total', help: 'Reports of lag probers by outcome.', labelNames: ['outcome'], registers });
  const gate = gauge('continuum_gate_connected', '1 while the gate asks this controller.');
  const recorded = new Counter({ name: 'continuum_events_total', help: 'Recorded events.', labelNames: ['event'], registers });
  const votes = new Counter({ name: 'continuum_quorum_votes_total', help: 'Votes of the resolvers by voter and outcome.', labelNames: ['voter', 'vendor', 'vote'], registers });
  const rounds = new Counter({ name: 'continuum_quorum_rounds_total', help: 'Rounds of the quorum by outcome.', labelNames: ['outcome'], registers });
  const strays = new Counter({ name: 'continuum_quorum_strays_total', help: 'Datagrams of the resolvers that answer no question under way: late, doubled or forged.', labelNames: ['voter', 'vendor'], registers });
  const held = gauge('continuum_lease_held_by_quorum', '1 while validity rests on attestations because the witness is not heard.');
  const keyUnusable = gauge('continuum_register_key_unusable', '1 while the file of the key for the DNS register cannot be used and the key before stays in force.');
  const lost = gauge('continuum_audit_lost_entries', 'Evidence that could not be written.');
  return {
    observe: (state, now) => {
      for (const one of PHASES) phase.set({ phase: one }, one === state.phase.kind ? 1 : 0);
      const may = actingEpoch({ ...state, now });
      acting.set(may);
      validity.set(may > 0 && state.grant !== null ? (state.grant.validUntilMs - now.monoMs) / 1_000 : 0);
      gate.set(state.gate.connected ? 1 : 0);
      held.set(state.fallback.holding ? 1 : 0);
      if (state.view !== null) {
        const { view } = state;
        epoch.set(view.epoch);
        viewAge.set((now.monoMs - state.viewMs) / 1_000);
        for (const one of state.policy.regions) inSync.set({ peer: one }, view.inSync.includes(one) ? 1 : 0);
      }
      if (state.lagReport !== null) reportAge.set((now.monoMs - state.lagReport.receivedMs) / 1_000);
      for (const peer of state.policy.regions) {
        const verdict = state.evidence.followers[peer]?.verdict.kind ?? 'unknown';
        if (verdict === 'unknown') follower.remove({ peer });
        else follower.set({ peer }, verdict === 'promotable' ? 1 : 0);
      }
      const standby = state.database?.role === 'standby';
      const bytes = standby ? lsnDiffBytes(state.database?.lsn ?? null, state.database?.replayLsn ?? null) : null;
      if (bytes === null) replay.remove();
      else replay.set(bytes);
      unknown.set(state.database?.role !== 'primary' && bytes === null ? 1 : 0);
    },
    recorded: (event) => recorded.inc({ event }),
    auditLost: (count) => lost.set(count),
    reported: (taken) => reports.inc({ outcome: taken ? 'taken' : 'refused' }),
    voted: (cast, outcome) => {
      for (const { voter, vote } of cast) votes.inc({ voter: voter.name, vendor: voter.vendor, vote: vote.kind });
      rounds.inc({ outcome: outcome.kind });
    },
    strayed: ({ name: voter, vendor }) => strays.inc({ voter, vendor }),
    registerKeyUnusable: (unusable) => keyUnusable.set(unusable ? 1 : 0),
    render: () => registry.metrics(),
  };
}
