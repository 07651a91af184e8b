// gdnsd with its own health check of the same probe, as quick as it can be told to be: every 2 s (its least), one failure or
// one success decides.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Resolver } from 'node:dns/promises';
import { start } from '../../test/rig/process.ts';
import type { Started } from '../../test/rig/process.ts';
import type { Program } from './install.d.mts';
import { waitForPeer } from './peer-problem.ts';

export type GdnsdOptions = {
  readonly folder: string;
  readonly program: Program;
  readonly address: string;
  readonly port: number;
  readonly zone: string;
  readonly label: string;
  readonly regions: readonly string[];
  readonly probePort: number;
};

export async function startGdnsd(options: GdnsdOptions): Promise<Started> {
  const { folder, address, port, zone, label } = options;
  for (const name of ['etc/zones', 'run', 'state']) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, 'etc/config'), config(options));
  writeFileSync(join(folder, 'etc/zones', zone), zoneFile(options));
  const started = await start({ name: 'gdnsd', command: options.program.command, args: ['-c', join(folder, 'etc'), 'start'], env: { ...options.program.env }, logFile: join(folder, 'gdnsd.log') });
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([`${address}:${port}`]);
  await waitForPeer(`gdnsd (see ${started.logFile})`, async () => (await resolver.resolve4(`${label}.${zone}`)).length > 0);
  return started;
}

function config({ folder, address, port, zone, label, regions, probePort }: GdnsdOptions): string {
  const addresses = regions.map((one, index) => `r${index + 1} => ${one}`).join(', ');
  return `options => { listen => [ ${address}:${port} ], run_dir => ${join(folder, 'run')}, state_dir => ${join(folder, 'state')} }
service_types => { lease => { plugin => http_status, port => ${probePort}, vhost => "${label}.${zone}", url_path => "/.well-known/continuum/${label}",
  up_thresh => 1, ok_thresh => 1, down_thresh => 1, interval => 2, timeout => 1 } }
plugins => { multifo => { ${label} => { service_types => lease, up_thresh => 0.01, ${addresses} } } }
`;
}

function zoneFile({ address, label, regions }: GdnsdOptions): string {
  return `@ SOA ns hostmaster ( 1 7200 1800 259200 60 )
@ NS ns
ns A ${address}
${label} 1 DYNA multifo!${label}
static 1 A ${regions[0]}
`;
}
