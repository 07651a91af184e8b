// The dangerous states that a run must have been in. A simulation that is green because nothing happened proves nothing: a mark that
// was never set fails a merge run.

export const MARKS = [
  'automatic-failover',
  'takeover-demanded-after-faults',
  'takeover-demanded-from-whole',
  'planned-switchover',
  'forced-takeover',
  'same-region-reacquired',
  'stale-database-action-rejected',
  'stale-instruction-rejected',
  'stale-weights-rejected',
  'grant-reply-lost',
  'renewal-reply-lost-lease-kept',
  'late-command-refused',
  'fence-while-witness-down',
  'refused-not-in-sync',
  'refused-lag-unknown',
  'takeover-held-down',
  'sync-wait-cancelled',
  'cancelled-write-vanished',
  'crash-between-actions',
  'crash-after-persist-before-gate',
  'crash-while-promoting',
  'crash-while-handing-over',
  'controller-restart-within-validity',
  'held-request-released',
  'held-request-released-after-crash',
  'request-forwarded',
  'holder-paused-past-ttl',
  'holder-suspended-past-ttl',
  'suspend-suspected',
  'both-regions-believe-active',
  'both-databases-primary',
  'in-sync-narrowed',
  'in-sync-widened',
  'lost-standby-perhaps-counted-on',
  'promotion-failed',
  'promotion-hung',
  'promotion-then-crash',
  'switchover-given-up',
  'switchover-refused-by-target',
  'handover-returned',
  'lease-released',
  'rejoined-by-rewind',
  'rejoined-by-copy',
  'timelines-diverged',
  'alarm-late-or-twice',
  'alarm-forgotten',
  'witness-clock-back',
  'push-missed-at-expiry',
  'client-sent-to-wrong-region',
  'disk-full-on-persist',
  'policy-differs-per-region',
  'kept-out-by-lag-prober',
  'switchover-refused-by-lag-prober',
  'standby-seen-stalled',
  'validity-held-by-quorum',
  'held-region-served',
  'held-region-reacquired',
  'takeover-after-darkness',
  'takeover-vetoed',
  'grant-returned-to-seen-region',
  'stale-attestation-refused',
  'nxdomain-was-no-evidence',
  'silence-without-control-refused',
  'one-silent-voter-was-not-darkness',
  'one-vendor-was-not-two-voices',
  'liars-granted-nothing',
  'two-served-on-a-lie',
  'answer-before-first-probe',
  'answer-names-both-regions',
  'answer-with-all-down',
  'name-server-restarted',
  'name-server-did-not-answer',
  'stale-address-served',
  'client-tried-next-address',
  'switchover-cancelled',
  'switchover-cancelled-before-it-began',
  'switchover-cancelled-by-target',
  'switchover-asked-again-after-its-cancel',
  'active-over-a-standby',
  'register-restored',
  'served-under-hand-over-then-standby',
  'served-under-hand-over-then-standby-down',
  'cancelled-too-late',
  'answer-came-after-sleep',
  'late-renewal-repeated',
  'asked-on-an-old-in-sync-set',
  'promotion-took-effect-in-next-hand-over',
  'lease-handed-to-late-primary',
  'served-under-hand-over-then-stuck',
  'sleep-hidden-in-darkness',
  'asked-again-before-promotion',
  'promoted-while-given-back',
  'died-when-counted-on',
  'acknowledgement-lost',
  'retried-write-found-again',
  'register-history-explained',
  'sync-wait-cancelled-then-read',
  'read-write-vanished',
  'forced-during-automatic',
  'takeover-held-off-by-pause',
  'wall-clock-stood-still-past-ttl',
  'old-message-replayed',
  'old-gate-answer-replayed',
] as const;

/** States that only a rolling upgrade leads to; in a world with one version there are none. */
export const UPGRADE_MARKS = [
  'taken-over-with-two-versions',
  'switched-over-with-two-versions',
  'lease-of-another-version-read',
  'epoch-of-another-version-read',
  'command-in-flight-across-upgrade',
  'rolled-back',
] as const;

/** Counted beside them: none of it is needed, much of it would be a hole. */
export const COUNTS = ['register-history-given-up', 'served-past-the-witness'] as const;

export type Mark = (typeof MARKS)[number] | (typeof UPGRADE_MARKS)[number] | (typeof COUNTS)[number];

export class Marks {
  readonly counts = new Map<Mark, number>();

  set(mark: Mark): void {
    this.counts.set(mark, (this.counts.get(mark) ?? 0) + 1);
  }

  merge(other: Readonly<Record<string, number>>): void {
    for (const mark of [...MARKS, ...COUNTS]) {
      const more = other[mark] ?? 0;
      if (more > 0) this.counts.set(mark, (this.counts.get(mark) ?? 0) + more);
    }
  }

  toRecord(): Record<string, number> {
    const others = [...UPGRADE_MARKS, ...COUNTS].filter((mark) => this.counts.has(mark));
    return Object.fromEntries([...MARKS, ...others].map((mark) => [mark, this.counts.get(mark) ?? 0]));
  }

  missing(): Mark[] {
    return MARKS.filter((mark) => !this.counts.has(mark));
  }
}
