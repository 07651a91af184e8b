// The wire schemas: what is a command, what is not, and what the sender is told.

import t from 'tap';
import {
  COMMAND_BYTES_MAX,
  LEASE_TTL_MS_MAX,
  LEASE_TTL_MS_MIN,
  REASONS_MAX,
  TEXT_LENGTH_MAX,
  leaseCommand,
  leasePush,
  leaseReply,
} from './lease.ts';
import { describeFields, parseWire } from './fields.ts';
import { newLease, viewLease, applyCommand, epoch, regionId, wallMs } from '@continuum/core';
import type { LeaseCommand } from '@continuum/core';

const from = { region: 'r1', seq: 1, instance: 'controller-1:4711' };
const token = { systemIdentifier: '7300000000000000001', timeline: 2, checkpointLsn: '16/B374D848' };
const commands: Record<LeaseCommand['kind'], Record<string, unknown>> = {
  acquire: { ...from, kind: 'acquire', epochSeen: 0, ttlMs: 10_000, policyHash: 'sha256:ab+/=', force: null },
  renew: { ...from, kind: 'renew', epoch: 1, ttlMs: 10_000, policyHash: '' },
  release: { ...from, kind: 'release', epoch: 1 },
  transfer: { ...from, kind: 'transfer', epoch: 1, id: 's-1', to: 'r2', token },
  setInSync: { ...from, kind: 'setInSync', epoch: 1, inSync: ['r1', 'r2'] },
  requestSwitchover: { ...from, kind: 'requestSwitchover', id: 's-1', from: 'r1', to: 'r2', validForMs: 5_000 },
  answerSwitchover: { ...from, kind: 'answerSwitchover', id: 's-1', answer: 'refused', reasons: ['lag is unknown'] },
};

const wrong = (command: unknown): string[] => {
  const parsed = parseWire(leaseCommand, command);
  return parsed.ok ? [] : parsed.fields.map(({ path }) => path);
};

t.test('every kind of command passes unchanged', async (t) => {
  for (const command of Object.values(commands)) t.strictSame(parseWire(leaseCommand, command), { ok: true, value: command });
});

t.test('a field too many or too few is refused, at every depth', async (t) => {
  for (const [kind, command] of Object.entries(commands)) {
    t.not(wrong({ ...command, surplus: 1 }).length, 0, `${kind}: one too many`);
    for (const field of Object.keys(command)) {
      const { [field]: _, ...rest } = command;
      t.not(wrong(rest).length, 0, `${kind} without ${field}`);
    }
  }
  t.same(wrong({ ...commands.transfer, token: { ...token, surplus: 1 } }), ['token']);
  t.same(wrong({ ...commands.acquire, force: { reason: 'r', estimatedLoss: 'none', surplus: 1 } }), ['force']);
});

t.test('every value has its bounds', async (t) => {
  const cases: [LeaseCommand['kind'], string, readonly unknown[], readonly unknown[]][] = [
    ['renew', 'region', ['r1', 'a'.repeat(31), '0-'], ['', 'R1', '-r', 'a'.repeat(32), 'r_1', 'r1\n', '__proto__', 1]],
    ['renew', 'seq', [1, Number.MAX_SAFE_INTEGER], [0, -1, 1.5, Number.NaN, '1', Number.MAX_SAFE_INTEGER + 1, Infinity]],
    ['renew', 'epoch', [0, Number.MAX_SAFE_INTEGER], [-1, 0.5, null, Number.MAX_SAFE_INTEGER + 1]],
    ['renew', 'ttlMs', [LEASE_TTL_MS_MIN, LEASE_TTL_MS_MAX], [LEASE_TTL_MS_MIN - 1, LEASE_TTL_MS_MAX + 1, 300.5]],
    ['renew', 'instance', ['a', 'a'.repeat(64)], ['', 'a'.repeat(65), 'a b', '-a']],
    ['renew', 'policyHash', ['', 'a'.repeat(128)], ['a'.repeat(129), 'a b', null]],
    ['setInSync', 'inSync', [['r1'], Array.from({ length: 16 }, (_, i) => `r${i}`)], [[], Array(17).fill('r1'), ['R1'], 'r1']],
    ['answerSwitchover', 'reasons', [[], Array(REASONS_MAX).fill('x')], [Array(REASONS_MAX + 1).fill('x'), [''], ['x'.repeat(TEXT_LENGTH_MAX + 1)]]],
    ['answerSwitchover', 'answer', ['ready', 'refused', 'cancelled'], ['pending', '']],
    ['requestSwitchover', 'validForMs', [100, 3_600_000], [99, 3_600_001]],
    ['acquire', 'force', [null, { reason: 'r', estimatedLoss: 'none' }], [{}, { reason: '', estimatedLoss: 'none' }, undefined]],
  ];
  for (const [kind, field, good, bad] of cases) {
    for (const value of good) t.same(wrong({ ...commands[kind], [field]: value }), [], `${field} ${String(value).slice(0, 20)}`);
    for (const value of bad) t.not(wrong({ ...commands[kind], [field]: value }).length, 0, `${field} ${String(value).slice(0, 20)}`);
  }
  for (const checkpointLsn of ['', '16', '16/', '16/B374D8481', 'G/0', '0/0 ']) {
    t.same(wrong({ ...commands.transfer, token: { ...token, checkpointLsn } }), ['token.checkpointLsn']);
  }
});

t.test('the largest valid command fits into what the witness reads', async (t) => {
  const reasons = Array(REASONS_MAX).fill('\u0001'.repeat(TEXT_LENGTH_MAX));
  const largest = { ...commands.answerSwitchover, reasons };
  t.same(wrong(largest), []);
  t.ok(new TextEncoder().encode(JSON.stringify(largest)).byteLength <= COMMAND_BYTES_MAX);
});

t.test('what is no command at all is refused', async (t) => {
  for (const input of [null, undefined, 1, '', [], {}, { kind: 'steal' }, [commands.renew]]) t.not(wrong(input).length, 0);
});

t.test('a problem names the path, the value and the fix, and bounds what it quotes', async (t) => {
  const parsed = parseWire(leaseCommand, { ...commands.transfer, to: `R${'x'.repeat(500)}`, token: { ...token, timeline: 0 } });
  if (parsed.ok) throw new Error('accepted');
  const text = describeFields(parsed.fields);
  t.match(text, /token\.timeline is 0: /);
  t.match(text, /to is "Rx{78}\.\.\.: use 1 to 31 of a-z/);
  t.ok(parsed.fields.length <= 20);
});

t.test('a reply of a newer witness is understood, one that contradicts the protocol is not', async (t) => {
  const at = wallMs(1_000);
  const command = { ...commands.acquire, region: regionId('r1') } as unknown as LeaseCommand;
  const { reply, record } = applyCommand(newLease('shop', at), command, at);
  const wire = JSON.parse(JSON.stringify(reply)) as { outcome: object; view: Record<string, unknown> };
  t.strictSame(parseWire(leaseReply, wire), { ok: true, value: reply });
  const newer = { ...wire, weather: 'fine', view: { ...wire.view, color: 'red' } };
  t.strictSame(parseWire(leaseReply, newer), { ok: true, value: reply });
  const view = viewLease(record, regionId('r1'), at);
  t.ok(parseWire(leasePush, { watch: 'n', event: 'granted', view }).ok);
  const changes: Record<string, unknown>[] = [
    { epoch: -1 }, { epoch: '1' }, { remainingMs: -1 }, { remainingMs: null }, { remainingMs: LEASE_TTL_MS_MAX + 1 },
    { holder: '' }, { inSync: 'r1' }, { seq: 1.5 }, { revision: undefined }, { handover: { id: 'x' } },
  ];
  for (const change of changes) {
    t.notOk(parseWire(leaseReply, { ...wire, view: { ...wire.view, ...change } }).ok, JSON.stringify(change));
  }
  t.notOk(parseWire(leaseReply, { ...wire, outcome: { ok: false, code: 'because', detail: '' } }).ok);
  t.notOk(parseWire(leaseReply, { ...wire, outcome: { ok: 1 } }).ok);
  t.equal(epoch(1), view.epoch);
});
