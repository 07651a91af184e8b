// Opens what the configuration publishes to.

import { createPdmPublisher } from '@continuum/adapters/pdm/publisher';
import { createGuardedPublisher } from '@continuum/adapters/powerdns/guarded-publisher';
import { createPowerdnsPublisher } from '@continuum/adapters/powerdns/publisher';
import type { PublishConfig } from './config.ts';
import type { PublishMemory } from './publish-memory.ts';
import { createManagerTarget, createPowerdnsTarget } from './publish-target.ts';
import type { Target } from './publish-target.ts';

export type OpenTargets = {
  /** Who publishes, for the canary's name. */
  readonly who: string;
  readonly memory: PublishMemory;
  /** The key in a file, asked for at every use. Ends the process when there is none at the start. */
  readonly secret: (field: string, file: string) => () => string;
  /** By the wall clock. */
  readonly nowMs: () => number;
};

/** A committed change may take so many intervals to reach every name server. */
const SETTLE_INTERVALS = 10;

export function openTargets(config: PublishConfig, { who, memory, secret, nowMs }: OpenTargets): Target[] {
  if (config.publisher === 'pdm') {
    const { url, tokenFile, pdns, authorities } = config.manager;
    const publisher = createPdmPublisher({ url, token: secret('publish.manager.tokenFile', tokenFile) });
    const at = authorities.map(({ host, port }) => ({ address: host, port }));
    return [createManagerTarget({ name: 'manager', publisher, version: pdns, authorities: at, memory, settleMs: SETTLE_INTERVALS * config.compareIntervalMs, nowMs })];
  }
  return config.servers.map(({ name, apiUrl, apiKeyFile, authority, sharing }, index) => {
    const publisher = createPowerdnsPublisher({ url: apiUrl, apiKey: secret(`publish.servers.${index}.apiKeyFile`, apiKeyFile) });
    const others = sharing.map((one, other) => createPowerdnsPublisher({ url: one.apiUrl, apiKey: secret(`publish.servers.${index}.sharing.${other}.apiKeyFile`, one.apiKeyFile) }));
    const guarded = createGuardedPublisher({ publisher, authority: { address: authority.host, port: authority.port }, others, canary: who });
    return createPowerdnsTarget({ name, publisher, guarded, memory });
  });
}
