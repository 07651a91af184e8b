// A version of PowerDNS that would ignore an option without a word is never asked for it: what each knows stands here once more.

import { test } from 'tap';
import { GATED, PDNS_VERSIONS, knows, luaIsStatic, pdnsVersion } from './version-gate.ts';

test('what came after 4.2, since when, and what an older server does instead', async (t) => {
  t.same(GATED, [
    { wish: 'intervalSeconds', option: 'interval', since: '5.0', otherwise: 'the server probes everything at its own lua-health-checks-interval' },
    { wish: 'failures', option: 'minimumFailures', since: '5.0', otherwise: 'the first failed probe takes an address out' },
    { wish: 'httpCode', option: 'httpcode', since: '5.0', otherwise: null },
  ]);
});

test('a version is read out of what a server says of itself', async (t) => {
  const texts: Record<string, string> = {
    '4.7': '4.7', '4.8.0': '4.8', '4.9.12': '4.9', '5.0.0-rc1': '5.0', '5.0-alpha1': '5.0', '5.1.4': '5.1', '5.1.0~beta+git.1': '5.1', ' 5.0.3\n': '5.0',
  };
  for (const [text, version] of Object.entries(texts)) t.equal(pdnsVersion(text), version, text);
});

test('a version that was not looked at is not guessed to be like another', async (t) => {
  for (const text of ['', '4.6.9', '5.2.0', '6.0', '50.1', '15.0.1', '5.10', '5.00', '5', '5.0.', '5.0-', '5.0.3 x', '5.0.3/x', 'v5.0.3', 'PowerDNS 5.0.3', '5.0 ; 4.9', '5x0', 'undefined']) {
    t.equal(pdnsVersion(text), null, JSON.stringify(text));
  }
});

test('what one version knows every later one knows; only the newest keeps LUA records fixed', async (t) => {
  t.same(PDNS_VERSIONS, ['4.7', '4.8', '4.9', '5.0', '5.1']);
  for (const [index, version] of PDNS_VERSIONS.entries()) {
    t.same(PDNS_VERSIONS.filter((since) => knows(version, since)), PDNS_VERSIONS.slice(0, index + 1), version);
    t.equal(luaIsStatic(version), version === '5.1', version);
  }
});
