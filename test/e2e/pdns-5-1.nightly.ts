// PowerDNS 5.1, which Debian 13 has: the placements, the version gate, the publisher and the register on the real server.

import t from 'tap';
import { firstProbes, failuresAreAsGated, httpCodeIsAsGated, intervalIsAsGated, placementsAnswer, startServer } from './pdns-versions.ts';

const server = await startServer('pdns-5.1', '5.1', '127.48.2');
t.teardown(() => server.authoritative.started.kill());

t.test('every placement answers with its own addresses', (t) => placementsAnswer(t, server));
t.test('a status wished for is ignored', (t) => httpCodeIsAsGated(t, server));
t.test('the first failed probe takes an address out, whatever was wished for', (t) => failuresAreAsGated(t, server));
t.test('an interval wished for is ignored', (t) => intervalIsAsGated(t, server));
t.only('x', async (t) => { const f = await firstProbes(server, { failUntilProbed: true }); t.comment(JSON.stringify(f)); t.pass(); });
