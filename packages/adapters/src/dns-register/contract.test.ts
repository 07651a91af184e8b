// The register contract on a real PowerDNS: the same suite that the Worker passes.

import t from 'tap';
import { registerContract } from '@continuum/ports/contracts/register-contract';
import { startRegisterAuthority } from '../../../../test/rig/register-authority.ts';
import { freePort, runFolder } from '../../../../test/rig/process.ts';

const ADDRESS = '127.44.1.1';
const leases = Array.from({ length: 30 }, (_, index) => `lease-${index}`);
const options = {
  folder: runFolder('dns-register'),
  address: ADDRESS,
  dnsPort: await freePort(ADDRESS),
  apiPort: await freePort(ADDRESS),
  zone: 'register.test',
  regions: ['r1', 'r2'],
  leases,
};
let authority = await startRegisterAuthority(options);
let used = 0;

t.teardown(() => authority.process.kill());

await registerContract(t, {
  regions: ['r1', 'r2'],
  freshLease: () => leases[used++] ?? 'no-lease-left',
  makeRegister: async (lease, region) => authority.register(lease, region),
  crash: async () => {
    await authority.process.kill();
    authority = await startRegisterAuthority(options);
  },
});
