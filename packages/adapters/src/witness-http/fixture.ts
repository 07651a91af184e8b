// What the tests of this folder share: a real witness with two regions, and clients of it.

import { generateKeyPair } from '@continuum/wire';
import { freePort, runFolder } from '../../../../test/rig/process.ts';
import { startWitness } from '../../../../test/rig/witness.ts';
import type { Witness } from '../../../../test/rig/witness.ts';
import { createWitnessRegister } from './index.ts';
import type { WitnessRegister, WitnessRegisterOptions } from './index.ts';

export const ADDRESS = '127.30.9.1';
export const REGIONS = ['r1', 'r2'] as const;

export type KeyPair = { readonly privateKey: string; readonly publicKey: string };
export type Fixture = {
  readonly folder: string;
  readonly keys: Readonly<Record<string, KeyPair>>;
  readonly witness: () => Witness;
  /** SIGKILL, and a new process on the same storage, address and port. */
  readonly crash: () => Promise<void>;
  readonly register: (
    lease: string,
    region: string,
    options?: Partial<WitnessRegisterOptions>,
  ) => Promise<WitnessRegister>;
};

export async function startFixture(leases: readonly string[]): Promise<Fixture> {
  const folder = runFolder('witness');
  const port = await freePort(ADDRESS);
  const keys = { r1: await generateKeyPair(), r2: await generateKeyPair() };
  const regions = REGIONS.map((region) => ({ region, publicKeys: { a: keys[region].publicKey } }));
  const start = () => startWitness({ folder, address: ADDRESS, port, regions, leases });
  let witness = await start();
  return {
    folder,
    keys,
    witness: () => witness,
    crash: async () => {
      await witness.process.kill();
      witness = await start();
    },
    register: (lease, region, options = {}) =>
      createWitnessRegister({
        url: witness.url,
        lease,
        region,
        keyId: `${region}/a`,
        privateKey: keys[region as 'r1' | 'r2'].privateKey,
        witnessPublicKeys: witness.publicKeys,
        ...options,
      }),
  };
}
