// `npm run bench -- darkness`: what the veto costs a failover. A contender that may ask the resolvers must have seen the holder dark for
// a whole window before it takes over; the window begins when the lease is overdue and has passed when it expires, so it should add
// nothing. The same kills, with and without.

import { killRounds } from './failover.ts';
import type { Counts, Round } from './failover.ts';
import { machine, median, quantile, row } from './report.ts';
import type { BenchReport, BenchRow } from './report.ts';

const RTO_MS = 12_000;

export async function benchDarkness({ kills, say }: { readonly kills: number; readonly say: (line: string) => void }): Promise<BenchReport> {
  const totals: Counts = { acknowledged: 0, unknown: 0, lost: 0, duplicated: 0 };
  say('without attestations');
  const without = await killRounds(RTO_MS, kills, totals, say);
  say('with attestations: a takeover waits for darkness');
  const together = await killRounds(RTO_MS, kills, totals, say, true);
  const beside = (metric: string, of: (one: Round) => number, pick: (values: readonly number[]) => number | null): BenchRow => {
    const other = pick(without.map(of));
    return row(metric, 'ms', together.map(of), pick, null, { without: other === null ? null : Math.round(other) });
  };
  const worst = (values: readonly number[]): number | null => quantile(values, 1);
  const added = (median(together.map((one) => one.expiryToWriteMs)) ?? Number.NaN) - (median(without.map((one) => one.expiryToWriteMs)) ?? Number.NaN);
  return {
    bench: 'darkness',
    machine: machine(),
    rows: [
      beside('lease expiry to first acknowledged write, with the veto: median', (one) => one.expiryToWriteMs, median),
      beside('lease expiry to first acknowledged write, with the veto: worst', (one) => one.expiryToWriteMs, worst),
      beside(`RTO, objective ${RTO_MS / 1_000} s, with the veto: median`, (one) => one.rtoMs, median),
      row('what the veto adds after the expiry: difference of the medians', 'ms', [added], median, '<= 50'),
      row('acknowledged writes lost', 'writes', [totals.lost], median, '<= 0'),
    ],
    notes: [
      `${kills} kills each, the resolvers asked from the moment the lease is overdue, for holdMs = ttl / 3 = ${RTO_MS / 6} ms`,
      'the RTO holds where in the renewal interval a kill fell, the same places in both; what the veto may add lies after the expiry',
    ],
  };
}
