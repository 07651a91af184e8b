// The text of an attestation: exactly one form, and a name for every other.

import fc from 'fast-check';
import { test } from 'tap';
import { ATTESTATION_LENGTH_MAX, CONTROL_LABEL, attestationName, attestationToSign, encodeAttestation, findingOf, parseAttestation, readAttestationName } from './attestation.ts';
import type { Attestation } from './attestation.ts';

const nonce = '0123456789abcdef0123456789abcdef';
const signature = 'A'.repeat(86);
const one: Attestation = { nonce, lease: 'counter', region: 'r1', epoch: 7, remainingMs: 4_000 };
const golden = `c1 ${nonce} counter r1 7 4000 ${signature}`;

test('golden text, both ways, and what is signed', async (t) => {
  t.equal(encodeAttestation(one, signature), golden);
  t.same(parseAttestation(golden), { ok: true, attestation: one, signature });
  t.equal(attestationToSign(one), `continuum attestation\nc1 ${nonce} counter r1 7 4000`);
});

test('the longest one fits into one character-string', async (t) => {
  const longest = { nonce, lease: 'l'.repeat(31), region: 'r'.repeat(31), epoch: Number.MAX_SAFE_INTEGER, remainingMs: 1e12 };
  const text = encodeAttestation(longest, signature);
  t.ok(text.length <= ATTESTATION_LENGTH_MAX, `${text.length}`);
  t.match(parseAttestation(text), { ok: true, attestation: { epoch: Number.MAX_SAFE_INTEGER, remainingMs: 999_999_999 } });
});

test('every departure has its name', async (t) => {
  const wrong: Record<string, string> = {
    'too-long': `${golden}${' '.repeat(120)}`,
    'not-ascii': golden.replace('counter', 'cöunter'),
    'field-count': `${golden} more`,
    'version': golden.replace('c1', 'c2'),
    'nonce': golden.replace('0123', 'XYZW'),
    'lease': golden.replace('counter', '-counter'),
    'region': golden.replace(' r1 ', ' R1 '),
    'epoch': golden.replace(' 7 ', ' 07 '),
    'remaining': golden.replace('4000', '-1'),
    'signature': golden.slice(0, -1),
  };
  for (const [problem, text] of Object.entries(wrong)) t.same(parseAttestation(text), { ok: false, problem });
  t.same(parseAttestation(golden.replace(' 7 ', ' 9007199254740993 ')), { ok: false, problem: 'epoch' }, 'an epoch that no number holds');
  t.same(parseAttestation(golden.replace(' 7 ', '  ')), { ok: false, problem: 'epoch' });
  t.same(parseAttestation(golden.padEnd(ATTESTATION_LENGTH_MAX, ' ')), { ok: false, problem: 'field-count' }, 'as long as a string may be');
  t.same(parseAttestation(golden.padEnd(ATTESTATION_LENGTH_MAX + 1, ' ')), { ok: false, problem: 'too-long' });
  t.same(parseAttestation(`${golden}\n`), { ok: false, problem: 'not-ascii' });
});

test('what parses is what was written, and nothing else parses to it', async (t) => {
  fc.assert(
    fc.property(fc.string(), fc.nat(golden.length), (text, at) => {
      const changed = golden.slice(0, at) + text + golden.slice(at + text.length);
      const parsed = parseAttestation(changed);
      if (parsed.ok) t.equal(encodeAttestation(parsed.attestation, parsed.signature), changed);
    }),
    { numRuns: 2_000 },
  );
});

test('a word is an answer to its own question only', async (t) => {
  const asked = { nonce, lease: 'counter', region: 'r1' };
  const word = { ...asked, epoch: 7, remainingMs: 4_000 };
  t.same(findingOf(word, asked), { kind: 'attested', epoch: 7 });
  t.equal(findingOf({ ...word, nonce: 'f'.repeat(32) }, asked).kind, 'unusable');
  t.equal(findingOf({ ...word, lease: 'other' }, asked).kind, 'unusable');
  t.equal(findingOf({ ...word, region: 'r2' }, asked).kind, 'unusable');
  t.equal(findingOf({ ...word, remainingMs: 0 }, asked).kind, 'nothing');
  const control = { ...asked, lease: CONTROL_LABEL };
  t.same(findingOf({ ...control, epoch: 0, remainingMs: 0 }, control), { kind: 'attested', epoch: 0 });
});

test('names, in any case; a name that asks nothing is none', async (t) => {
  const question = { nonce, lease: 'counter', region: 'r1' };
  const name = attestationName(question, 'attest.app.test');
  t.equal(name, `${nonce}.counter.r1.attest.app.test`);
  t.same(readAttestationName(name.toUpperCase(), 'attest.app.test'), question);
  t.same(readAttestationName(`${nonce}.${CONTROL_LABEL}.r1.attest.app.test`, 'attest.app.test'), { ...question, lease: CONTROL_LABEL });
  for (const other of ['attest.app.test', `${nonce}.counter.r1.attest.app.tes`, `${nonce}.counter.r1.xattest.app.test`, `a.${name}`, `${nonce}.counter.attest.app.test`, `short.counter.r1.attest.app.test`, `${nonce}._other.r1.attest.app.test`, '']) {
    t.equal(readAttestationName(other, 'attest.app.test'), null, other);
  }
});

test('a field with one character too many, too few, or not of its kind is not that field', async (t) => {
  const parsed = (change: Partial<Record<'nonce' | 'lease' | 'region' | 'epoch' | 'remaining' | 'signature', string>>) => {
    const { nonce: n, lease, region, epoch, remaining, signature: s } = { nonce, lease: 'counter', region: 'r1', epoch: '7', remaining: '4000', signature, ...change };
    const result = parseAttestation(`c1 ${n} ${lease} ${region} ${epoch} ${remaining} ${s}`);
    return result.ok ? 'ok' : result.problem;
  };
  const names = { good: ['a', '7', 'ab', 'a-b', 'a0-9z', 'a'.repeat(31)], bad: ['', '-', 'a-', '-a', 'A', 'aB', 'a_b', 'a.b', 'a'.repeat(32)] };
  const fields = {
    nonce: { good: ['0'.repeat(32), nonce], bad: ['', '0', '0'.repeat(31), '0'.repeat(33), nonce.toUpperCase(), `g${nonce.slice(1)}`] },
    lease: { good: [...names.good, CONTROL_LABEL], bad: [...names.bad, '_other', '__control'] },
    region: { good: names.good, bad: [...names.bad, CONTROL_LABEL] },
    epoch: { good: ['0', '1', '10', '42', '9007199254740991'], bad: ['', '00', '01', '-1', '+1', '1.5', '1e3', '0x7', 'x', '1x', '9007199254740992', '1'.repeat(17)] },
    remaining: { good: ['0', '1', '10', '999999999'], bad: ['', '00', '01', '-1', '1.5', 'x', '1x', '1000000000'] },
    signature: { good: [signature, `${'-_09az'.repeat(14)}ZA`], bad: ['', 'A', 'A'.repeat(85), 'A'.repeat(87), `${'A'.repeat(85)}=`, `+${'A'.repeat(85)}`] },
  } as const;
  for (const [field, { good, bad }] of Object.entries(fields)) {
    for (const text of good) t.equal(parsed({ [field]: text }), 'ok', `${field} ${text}`);
    for (const text of bad) {
      t.equal(parsed({ [field]: text }), field, `${field} ${text}`);
      if (field !== 'lease') t.equal(parsed({ lease: CONTROL_LABEL, [field]: text }), field, `control, ${field} ${text}`);
    }
  }
});

test('the control word stands for no lease, and each refusal says what it was', async (t) => {
  t.equal(CONTROL_LABEL, '_control');
  const asked = { nonce, lease: 'counter', region: 'r1' };
  const word = { ...asked, epoch: 7, remainingMs: 1 };
  t.same(findingOf(word, asked), { kind: 'attested', epoch: 7 });
  t.same(findingOf({ ...word, nonce: 'f'.repeat(32) }, asked), { kind: 'unusable', reason: 'an attestation for another nonce' });
  for (const other of [{ lease: 'other' }, { lease: CONTROL_LABEL }, { region: 'r2' }]) {
    t.same(findingOf({ ...word, ...other }, asked), { kind: 'unusable', reason: 'an attestation of something else' });
  }
  t.same(findingOf({ ...word, remainingMs: 0 }, asked), { kind: 'nothing', reason: 'its validity is over' });
});

test('what is left of a validity is written in whole milliseconds, rounded down, never below 0', async (t) => {
  const written = (remainingMs: number) => attestationToSign({ ...one, remainingMs }).split(' ').at(-1);
  t.same([-5, 0, 0.9, 1, 1.9, 999_999_999, 1_000_000_000].map(written), ['0', '0', '0', '1', '1', '999999999', '999999999']);
});
