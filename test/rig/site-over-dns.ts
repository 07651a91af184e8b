// A whole site without a Worker: its lease lives in a TXT record of a name server outside both regions (`register: dns`).

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './process.ts';
import { startRegisterAuthority } from './register-authority.ts';
import type { RegisterAuthority } from './register-authority.ts';
import { REGIONS, startSite } from './site.ts';
import type { RegionName, Site, SiteOptions } from './site.ts';

export type SiteOverDns = {
  readonly site: Site;
  readonly authority: () => RegisterAuthority;
  /** After it died. */
  readonly restartAuthority: () => Promise<void>;
  readonly stop: () => Promise<void>;
};

const ADDRESS = '127.30.0.2';
const ZONE = 'register.test';
const LEASE = 'counter';

export async function startSiteOverDns(options: Omit<SiteOptions, 'configure' | 'witnessVia' | 'forward'>): Promise<SiteOverDns> {
  const { folder } = options;
  const at = { address: ADDRESS, dnsPort: await freePort(ADDRESS), apiPort: await freePort(ADDRESS) };
  const start = (): Promise<RegisterAuthority> => startRegisterAuthority({ folder: join(folder, 'register'), ...at, zone: ZONE, regions: REGIONS, leases: [LEASE] });
  let authority = await start();
  const configure = (region: RegionName, config: object): object => {
    const { spec, local, ...rest } = config as { spec: Record<string, unknown>; local: Record<string, unknown> };
    const { witness: _worker, ...specRest } = spec;
    const { witness: _key, ...localRest } = local;
    const keyFile = join(folder, region, 'tsig');
    mkdirSync(join(folder, region), { recursive: true });
    writeFileSync(keyFile, `${authority.keys[region]?.secret}\n`, { mode: 0o600 });
    return {
      ...rest,
      spec: { ...specRest, register: 'dns', dnsRegister: { address: at.address, port: at.dnsPort, zone: ZONE, lease: LEASE } },
      local: { ...localRest, dnsRegister: { keyName: `${region}-lease`, keyFile } },
    };
  };
  const site = await startSite({ ...options, configure, forward: [{ zone: ZONE, servers: [{ address: at.address, port: at.dnsPort }] }] });
  await site.witness().process.kill();
  return {
    site,
    authority: () => authority,
    restartAuthority: async () => {
      authority = await start();
    },
    stop: async () => {
      await site.stop();
      await authority.process.stop();
    },
  };
}
