// The register contract on the real witness: the deployable Worker in workerd.

import t from 'tap';
import { registerContract } from '../../../ports/src/contracts/register-contract.ts';
import { REGIONS, startFixture } from './fixture.ts';

const leases = Array.from({ length: 30 }, (_, index) => `lease-${index}`);
const fixture = await startFixture(leases);
let used = 0;

t.teardown(() => fixture.witness().process.kill());

await registerContract(t, {
  regions: REGIONS,
  freshLease: () => leases[used++] ?? 'no-lease-left',
  makeRegister: (lease, region) => fixture.register(lease, region),
  crash: fixture.crash,
});
