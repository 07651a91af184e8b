// PowerDNS 4.9, which Debian 13 has: the placements, the version gate, the publisher and the register on the real server.

import t from 'tap';
import { registerHolds } from '../rig/register-contract.ts';
import { failuresAreAsGated, httpCodeIsAsGated, intervalIsAsGated, lockedDatabaseIsOutlived, placementsAnswer, startServer, unwrittenOptions } from './pdns-versions.ts';

const server = await startServer('pdns-4.9', '4.9', '127.48.1');
t.teardown(() => server.authoritative.started.kill());

t.test('every placement answers with its own addresses', (t) => placementsAnswer(t, server));
t.test('a status wished for is ignored', (t) => httpCodeIsAsGated(t, server));
t.test('the first failed probe takes an address out, whatever was wished for', (t) => failuresAreAsGated(t, server));
t.test('an interval wished for is ignored', (t) => intervalIsAsGated(t, server));
t.test('two options that no record of a lease has, and why', (t) => unwrittenOptions(t, server));
t.test('a locked database is outlived', (t) => lockedDatabaseIsOutlived(t, server));
t.test('the register holds on SQLite', (t) => registerHolds(t, 'pdns-4.9', 'gsqlite3', '127.48.1.3'));
t.test('the register holds on LMDB', (t) => registerHolds(t, 'pdns-4.9', 'lmdb', '127.48.1.4'));
