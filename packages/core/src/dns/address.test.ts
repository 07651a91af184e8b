// An address is only ever written from what was parsed.

import fc from 'fast-check';
import { isIP } from 'node:net';
import { test } from 'tap';
import { canonicalIpAddress, formatIpAddress, parseIpAddress } from './address.ts';

test('IPv4 and IPv6 addresses are parsed and written in one form', async (t) => {
  const written = (text: string): string | null => {
    const address = parseIpAddress(text);
    return address === null ? null : formatIpAddress(address);
  };
  t.equal(written('127.1.0.1'), '127.1.0.1');
  t.equal(written('2001:DB8::1'), '2001:db8:0:0:0:0:0:1');
  t.equal(written('::'), '0:0:0:0:0:0:0:0');
  t.equal(written('1:2:3:4:5:6:7::'), '1:2:3:4:5:6:7:0');
  t.equal(written('1:2:3:4:5:6:7:8'), '1:2:3:4:5:6:7:8');
  t.equal(written('0.9.10.255'), '0.9.10.255');
  t.equal(written('a:bc:DEF:1234::'), 'a:bc:def:1234:0:0:0:0');
});

test('two ways to write one address have one text; what is no address is left as it is', async (t) => {
  t.equal(canonicalIpAddress('2001:DB8:0::1'), canonicalIpAddress('2001:db8::1'));
  t.not(canonicalIpAddress('2001:db8::2'), canonicalIpAddress('2001:db8::1'));
  t.equal(canonicalIpAddress('192.0.2.1'), '192.0.2.1');
  t.equal(canonicalIpAddress('gateway.example'), 'gateway.example');
});

test('what is not exactly one address is refused', async (t) => {
  const bad = ['', '1', '1.2.3', '1.2.3.4.5', '1.2.3.256', '01.2.3.4', '1.2.3.4 ', "1.2.3.4'", '127.1', '0x7f.0.0.1', ':', ':::',
    '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7:8::', '::g', 'fe80::1%lo', '::ffff:1.2.3.4', '12345::', '0'.repeat(46), `${'0'.repeat(46)}::`, '1.2.3.x', '1.2.3.-4', '1:2:3:4::5:6:7:8', '1:g::', '::1:g', '1.2.3.1000', '1.2.3.00', '1.2.3.1x', 'x1.2.3.4', '1.2.3.x4', '::x1', '::1x', '::-1', '::1 ', ' ::1'];
  for (const text of bad) t.equal(parseIpAddress(text), null, JSON.stringify(text));
});

test('every address of the platform survives a round trip, and whatever is written is one', async (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string({ maxLength: 50 })), (text) => {
      const address = parseIpAddress(text);
      if (address === null) return text.includes('.') && text.includes(':') ? true : !isIP(text);
      const form = formatIpAddress(address);
      const again = parseIpAddress(form);
      return isIP(form) === address.family && again !== null && formatIpAddress(again) === form;
    }),
    { numRuns: 2_000 },
  );
  t.pass('2000 texts');
});
