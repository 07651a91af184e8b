// What no decision may let out. No state leads to these actions; they are written by hand, as a fault in a role would.

import { test } from 'tap';
import { draftOf, held, holder, promotingContender, r1, r2, r3, start, START_MS } from '../../testing/controller.ts';
import { epoch, monoMs } from '../types.ts';
import { checkDecision } from './check-decision.ts';
import type { Action, ControllerState, DatabaseAction, GateDirective } from './state.ts';

const opened: GateDirective = { epoch: epoch(5), mode: 'open', validUntilMs: monoMs(START_MS + 5_000), activeRegion: r1, holdForwarded: false };
const validUntilMs = monoMs(START_MS + 5_000);
const active = (changes: Partial<ControllerState> = {}): ControllerState => holder({ grant: { epoch: epoch(5), validUntilMs }, ...changes });
const expired = { epoch: epoch(5), validUntilMs: start.monoMs };

function check(state: ControllerState, ...actions: Action[]): void {
  const draft = draftOf(state);
  draft.actions.push(...actions);
  checkDecision(draft);
}
const open = (state: ControllerState, change: Partial<GateDirective> = {}) => () => check(state, { kind: 'gate', directive: { ...opened, ...change } });
const run = (state: ControllerState, action: DatabaseAction) => () => check(state, { kind: 'database', id: 1, action, timeoutMs: 1 });
const refused = (code: string, detail: string) => ({ code: `CTM_ASSERT_${code}`, message: `CTM_ASSERT_${code}: ${detail}` });

test('a gate opens under a valid grant, in its epoch, no longer than it, in front of a database that was proved', async (t) => {
  t.doesNotThrow(open(active()));
  t.throws(open(active({ grant: null })), refused('OPEN_NEEDS_GRANT', 'active'));
  t.throws(open(active({ grant: expired })), refused('OPEN_NEEDS_GRANT', 'active'));
  t.throws(open(active(), { epoch: epoch(4) }), refused('OPEN_IN_ANOTHER_EPOCH', '4 5'));
  t.throws(open(active(), { validUntilMs: monoMs(validUntilMs + 1) }), refused('OPEN_BEYOND_VALIDITY', ''));
  t.throws(open(active(), { validUntilMs: start.monoMs }), refused('OPEN_PAST_VALIDITY', ''));
  t.throws(open(active({ promotedEpoch: 4 })), refused('OPEN_BEFORE_VERIFIED', '4 5'));
  for (const mode of ['hold', 'forward', 'closed'] as const) t.doesNotThrow(open(active({ grant: null }), { mode }), mode);
});

test('traffic goes to the holder and to nobody else', async (t) => {
  const given = (state: ControllerState, weights: Record<string, number>) => () => check(state, { kind: 'traffic', id: 1, weights: { epoch: epoch(5), weights } });
  const code = (weights: string) => refused('WEIGHTS_FOR_A_FENCED_REGION', weights);
  t.doesNotThrow(given(active(), { r1: 100, r2: 0 }));
  t.throws(given(active(), { r1: 0, r2: 100 }), code('{"r1":0,"r2":100}'));
  t.throws(given(active(), { r1: 50, r2: 50 }), code('{"r1":50,"r2":50}'));
  t.doesNotThrow(given(active({ grant: null }), { r1: 100, r2: 0 }), 'the holder by the register, and not valid');
  t.throws(given(active({ grant: null, view: { ...held, holder: r2 } }), { r1: 100, r2: 0 }), code('{"r1":100,"r2":0}'));
  t.throws(given(active({ grant: null, view: null }), { r1: 100 }), code('{"r1":100}'));
});

test('every action is looked at, not only the first', async (t) => {
  const record: Action = { kind: 'record', event: 'x', detail: {} };
  t.throws(() => check(active({ promotedEpoch: 4 }), record, { kind: 'gate', directive: { ...opened, mode: 'closed' } }, { kind: 'gate', directive: opened }), refused('OPEN_BEFORE_VERIFIED', '4 5'));
});

const alone = active({ view: { ...held, inSync: [r1] } });
const promote: DatabaseAction = { kind: 'promote', epoch: epoch(5), token: null };
const demote: DatabaseAction = { kind: 'demote', epoch: epoch(5) };
const relax: DatabaseAction = { kind: 'set-synchronous', epoch: epoch(5), standbys: [] };

test('a database is touched as a primary only under a valid grant of that epoch', async (t) => {
  for (const action of [promote, demote, relax]) {
    t.doesNotThrow(run(alone, action), action.kind);
    t.throws(run({ ...alone, grant: null }, action), refused('DATABASE_NEEDS_GRANT', action.kind));
    t.throws(run({ ...alone, grant: expired }, action), refused('DATABASE_NEEDS_GRANT', action.kind));
    t.throws(run({ ...alone, grant: { epoch: epoch(4), validUntilMs } }, action), refused('DATABASE_NEEDS_GRANT', action.kind));
  }
  t.doesNotThrow(run({ ...alone, grant: null }, { kind: 'rejoin', epoch: epoch(5), source: r2, preserve: true }));
  t.doesNotThrow(run({ ...alone, grant: null }, { kind: 'prewarm' }));
});

test('a database is promoted by the only region that is counted on', async (t) => {
  const code = refused('PROMOTE_NEEDS_NARROW_SET', '');
  t.throws(run(active(), promote), code);
  t.throws(run(active({ view: { ...held, inSync: [r2] } }), promote), code);
  t.throws(run(active({ view: null }), promote), code);
  t.doesNotThrow(run(active(), demote));
  t.equal(promotingContender().view?.inSync.join(), r2, 'as the example of a takeover has it');
});

test('commits go on waiting for whom the register promises', async (t) => {
  const promised = active({ view: { ...held, inSync: [r1, r2, r3] } });
  t.throws(run(promised, relax), refused('RELAX_BEFORE_NARROW', 'r2,r3'));
  t.throws(run(promised, { ...relax, standbys: [r2] }), refused('RELAX_BEFORE_NARROW', 'r2,r3'));
  t.doesNotThrow(run(promised, { ...relax, standbys: [r3, r2] }));
  t.throws(run(active({ view: null }), relax), refused('RELAX_BEFORE_NARROW', ''));
  const widening = { seq: 22, regions: [r2] };
  t.throws(run({ ...alone, widening }, relax), refused('RELAX_BEFORE_NARROW', 'r2'), 'and for whom it may promise');
  t.throws(run({ ...alone, widening }, promote), refused('PROMOTE_NEEDS_NARROW_SET', ''));
});
