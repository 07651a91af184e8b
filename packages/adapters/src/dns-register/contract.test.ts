// The register contract on a real PowerDNS: the same suite that the Worker passes.

import t from 'tap';
import { registerHolds } from '../../../../test/rig/register-contract.ts';

await registerHolds(t, 'pdns_server', 'gsqlite3', '127.44.1.1');
