// What one look may change, and for whom: who is the primary, who followed it, since when an end stands still, and whose
// verdict a look moves.

import t from 'tap';
import { both, primary, settings, standby, TIMEOUT, watch } from '../../testing/pair.ts';
import type { Look } from '../../testing/pair.ts';
import { lsn, monoMs } from '../types.ts';
import { factsOf } from './figures.ts';
import { absorbProbe, newCluster } from './measure.ts';
import type { EndSample } from './sample.ts';
import type { ClusterSettings, ClusterState } from './state.ts';

const look = (end: string, atMs: number, sample: EndSample | null): Look => ({ end, atMs, sample });
const published = (state: ClusterState, name = 'r2') => state.ends[name]?.verdict;
const stalled = (state: ClusterState, atMs: number) => factsOf(state, 'r2', monoMs(atMs)).stalled;
const ahead = { ...primary, lsn: lsn('0/580') };
const three: ClusterSettings = { ...settings, ends: [...settings.ends, { name: 'r3', applicationName: 'app-r3', slot: null }] };

t.test('a look at an end that nobody specified, or that ended before it began, ends the process', async (t) => {
  const probe = (end: string, sentMs: number, receivedMs: number) => absorbProbe(newCluster(settings), { end, sentMs: monoMs(sentMs), receivedMs: monoMs(receivedMs), outcome: TIMEOUT });
  t.throws(() => probe('r9', 1, 2), { message: 'CTM_ASSERT_REPLICATION_END_UNKNOWN: r9' });
  t.throws(() => probe('r1', 2, 1), { message: 'CTM_ASSERT_REPLICATION_PROBE_TIMES: r1' });
  t.ok(probe('r1', 1, 1), 'an answer may come within the millisecond');
});

t.test('of two answers that arrive in the same millisecond the later one counts', async (t) => {
  const at = { end: 'r2', sentMs: monoMs(1), receivedMs: monoMs(2) };
  const first = absorbProbe(newCluster(settings), { ...at, outcome: { ok: true, sample: standby } });
  const sample = { ...standby, replayPaused: true };
  t.equal(absorbProbe(first, { ...at, outcome: { ok: true, sample } }).ends['r2']?.seen?.sample, sample);
});

// ---- who is the primary

t.test('a claim to be the primary counts for as long as evidence may be old', async (t) => {
  const after = (ms: number) => watch([look('r1', 1_000, primary), look('r2', 1_000 + ms - 1, primary)]);
  t.match(after(2_500), { primary: 'r1', twoPrimaries: true });
  t.match(after(2_501), { primary: 'r2', twoPrimaries: false }, 'the other fell silent');
});

t.test('of two primaries on one timeline the one that was known stays, whatever the order of the specification', async (t) => {
  for (const [known, other] of [['r1', 'r2'], ['r2', 'r1']] as const) {
    t.match(watch([look(known, 1_000, primary), look(other, 2_000, primary)]), { primary: known, twoPrimaries: true });
  }
});

t.test('a primary of an older timeline neither draws the map nor says who followed', async (t) => {
  const old = { ...primary, timeline: 1, lsn: lsn('0/900'), walsenders: [{ ...primary.walsenders[0]!, name: 'app-r1' }] };
  const state = watch([look('r1', 1_000, primary), look('r2', 2_000, old)]);
  t.match(state, { primary: 'r1', twoPrimaries: false, map: { timeline: 2, last: { sentMs: 1_000 } }, ends: { r1: { linked: null } } });
});

t.test('a primary that came back as a standby is the last one that was known, and its map stands', async (t) => {
  const state = watch([...both(3), look('r1', 4_000, standby)]);
  t.match(state, { primary: 'r1', map: { last: { sentMs: 3_000 } } });
});

// ---- who followed it

t.test('only a walsender that streams proves that an end follows', async (t) => {
  const after = (state: string) => watch([look('r2', 1_000, standby), look('r1', 1_000, { ...primary, walsenders: [{ ...primary.walsenders[0]!, state }] })]).ends['r2']?.linked;
  t.same(after('streaming'), { systemIdentifier: '7', timeline: 2 });
  for (const state of ['catchup', 'startup', 'backup', 'stopping']) t.equal(after(state), null, state);
});

t.test('the stream of one standby proves nothing of another', async (t) => {
  const state = watch([look('r2', 1_000, standby), look('r3', 1_000, standby), look('r1', 1_000, primary), look('r3', 2_000, standby)], three);
  t.same([state.ends['r2']?.linked, state.ends['r3']?.linked], [{ systemIdentifier: '7', timeline: 2 }, null]);
  t.match(published(state, 'r3'), { reason: 'history-unproven' });
});

t.test('a walsender with the name of an end that was a primary itself just then is somebody else\'s', async (t) => {
  const state = watch([look('r2', 1_000, { ...primary, timeline: 1 }), look('r1', 1_000, primary), look('r2', 2_000, standby)]);
  t.equal(state.ends['r2']?.linked, null);
  t.match(published(state), { reason: 'history-unproven' });
});

// ---- since when it stands still

t.test('a standstill counts from the look that found the primary further on, not from the one before', async (t) => {
  const looks = [...both(3), look('r1', 4_000, primary), look('r1', 5_000, ahead)];
  t.equal(stalled(watch([...looks, look('r2', 5_899, standby)]), 5_899), false);
  t.equal(stalled(watch([...looks, look('r2', 5_901, standby)]), 5_901), true);
});

t.test('nothing stands still before a primary was seen, nor while no position is named', async (t) => {
  t.equal(stalled(newCluster(settings), 0), false);
  t.equal(stalled(watch([look('r2', 1_000, standby)]), 1_000), false);
  const lost = { ...standby, receiveLsn: null, replayLsn: null };
  const behind = both(3, ahead, standby);
  t.equal(stalled(watch(behind), 3_000), true);
  t.equal(stalled(watch([...behind, look('r2', 4_000, lost)]), 4_000), false);
  t.equal(stalled(watch([...behind, look('r2', 4_000, lost), look('r2', 5_000, standby)]), 5_000), false, 'it counts anew');
});

// ---- whose verdict a look moves

t.test('a look at the primary moves the verdict on a standby when it leaves no doubt, and else does not count', async (t) => {
  const after = (sample: EndSample | null, looks: number) => watch([...both(5), ...Array.from({ length: looks }, (_, index) => look('r1', 6_000 + index, sample))]);
  const alone = { ...primary, walsenders: [] };
  t.match(published(after({ ...alone, slots: [] }, 1)), { reason: 'slot-lost' });
  t.match(published(after(alone, 9)), { kind: 'promotable' }, 'its stream may be reconnecting: only looks at itself are counted');
  t.match(published(after(null, 9)), { kind: 'promotable' });
});

t.test('a second primary moves every verdict, whoever was looked at', async (t) => {
  const walsenders = ['app-r2', 'app-r3'].map((name) => ({ ...primary.walsenders[0]!, name }));
  const looks = both(5, { ...primary, walsenders }).flatMap((one) => (one.end === 'r2' ? [one, { ...one, end: 'r3' }] : [one]));
  t.match(published(watch(looks, three), 'r3'), { kind: 'promotable' });
  const state = watch([...looks, look('r2', 6_000, primary)], three);
  for (const name of ['r1', 'r2', 'r3']) t.match(published(state, name), { reason: 'two-primaries' }, name);
});

t.test('a look that failed is a bad one, also while what was seen before is still good', async (t) => {
  t.match(published(watch([...both(5), look('r2', 5_500, null), look('r2', 5_600, null)])), { reason: 'lag-unknown', detail: 'good, but not for long enough' });
});
