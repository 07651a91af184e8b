// The register contract on a real PowerDNS, of any version and local backend that can be started here.

import { registerContract } from '@continuum/ports/contracts/register-contract';
import type { Test } from 'tap';
import type { AuthoritativePart } from './dns.ts';
import { freePort, runFolder } from './process.ts';
import { startRegisterAuthority } from './register-authority.ts';

/** The register of a site without a Worker, on this version and this backend: 64 racers, repeats, a server killed in the middle. */
export async function registerHolds(t: Test, part: AuthoritativePart, launch: 'gsqlite3' | 'lmdb', address: string): Promise<void> {
  const leases = Array.from({ length: 30 }, (_, index) => `lease-${index}`);
  const ports = { dnsPort: await freePort(address), apiPort: await freePort(address) };
  const options = { part, folder: runFolder(`${part}-register`), address, ...ports, zone: 'register.test', regions: ['r1', 'r2'], leases, settings: { launch } };
  // It begins with `checkAuthority`, which would name a setting that this version calls by another name.
  let authority = await startRegisterAuthority(options);
  t.teardown(() => authority.process.kill());
  let used = 0;
  await registerContract(t, {
    regions: ['r1', 'r2'],
    freshLease: () => leases[used++] ?? 'no-lease-left',
    makeRegister: async (lease, region) => authority.register(lease, region),
    crash: async () => {
      await authority.process.kill();
      authority = await startRegisterAuthority(options);
    },
  });
}
