// PowerDNS 5.1, the newest that was looked at: the placements, the version gate, the publisher and the register on the real server.
// Only at night: it comes from a release of Debian that changes any day.

import t from 'tap';
import { failuresAreAsGated, httpCodeIsAsGated, intervalIsAsGated, placementsAnswer, registerHolds, startServer, unwrittenOptions } from './pdns-versions.ts';

const server = await startServer('pdns-5.1', '5.1', '127.48.2');
t.teardown(() => server.authoritative.started.kill());

t.test('every placement answers with its own addresses', (t) => placementsAnswer(t, server));
t.test('a status wished for counts', (t) => httpCodeIsAsGated(t, server));
t.test('so many failed probes in a row as wished for take an address out', (t) => failuresAreAsGated(t, server));
t.test('an interval wished for counts', (t) => intervalIsAsGated(t, server));
t.test('two options that no record of a lease has, and why', (t) => unwrittenOptions(t, server));
t.test('the register holds on SQLite', (t) => registerHolds(t, 'pdns-5.1', 'gsqlite3', '127.48.2.3'));
t.test('the register holds on LMDB', (t) => registerHolds(t, 'pdns-5.1', 'lmdb', '127.48.2.4'));
