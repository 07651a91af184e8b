// Commands that no controller of ours would send now: a second controller of the same region, an old script, somebody with a
// stolen key. The witness must refuse what the record does not allow; what it allows is a grant like any other.

import type { LeaseCommand } from '@continuum/core';
import { epoch, lsn, regionId } from '@continuum/core';
import type { Nemesis } from './nemesis.ts';
import { nobodyHolds, nothing } from './nemesis.ts';

export const rogueCommands: Nemesis = {
  name: 'rogue-commands',
  weight: 0.4,
  everyTtls: 6,
  start: (world, prng) => {
    const region = prng.pick(world.regions);
    const { record } = world.witness;
    // An empty register gives a key that was stolen whatever epoch comes first, one that another region has had.
    if (record.epoch === 0) return nobodyHolds;
    const seq = (record.last[region.name]?.seq ?? 0) + 1;
    const from = { region: regionId(region.name), seq, instance: prng.pick(['stranger', region.controller.state.instance, record.instance ?? 'stranger']) };
    const seen = epoch(Math.max(0, record.epoch - prng.integer(0, 1)));
    const { ttlMs } = world.options.timings;
    const isHolder = record.holder === region.name;
    const commands: LeaseCommand[] = [
      { kind: 'acquire', ...from, epochSeen: seen, ttlMs, policyHash: record.policyHash, force: null },
      { kind: 'renew', ...from, epoch: seen, ttlMs, policyHash: record.policyHash },
    ];
    // What the holder's own key may do to its own lease is not a fault of the witness.
    if (!isHolder) {
      commands.push(
        { kind: 'release', ...from, epoch: seen },
        { kind: 'setInSync', ...from, epoch: seen, inSync: [regionId(region.name)] },
        {
          kind: 'transfer',
          ...from,
          epoch: seen,
          id: 'rogue',
          to: regionId(world.other(region).name),
          token: { systemIdentifier: '0', timeline: 1, checkpointLsn: lsn('0/0') },
        },
      );
    }
    const command = prng.pick(commands);
    world.register.abandon();
    world.lease.stranger = true;
    world.witness.command(command, nothing);
    world.lease.stranger = false;
    return { what: `somebody sends ${command.kind} as ${region.name}`, durationMs: 0, stop: nothing };
  },
};
