// The port's promises, on two real PostgreSQL servers.

import { databaseContract } from '@continuum/ports/contracts/database-contract';
import type { DatabaseMember } from '@continuum/ports/contracts/database-contract';
import { test } from 'tap';
import { createPair, idsIn, INSERT } from '../../../../test/rig/postgres-pair.ts';
import type { PairMember } from '../../../../test/rig/postgres-pair.ts';
import { descendants, signalAll } from '../../../../test/rig/process.ts';

test('the contract of a database', async (t) => {
  await databaseContract(t, {
    makePair: async (t) => {
      const pair = await createPair();
      t.teardown(pair.close);
      return { one: asMember(pair.one), two: asMember(pair.two) };
    },
  });
});

function asMember(member: PairMember): DatabaseMember {
  return {
    database: member.database,
    address: member.address,
    again: () => member.again(),
    kill: member.kill,
    client: async () => {
      const client = await member.client();
      return {
        write: async () => String((await client.query<{ id: string }>(INSERT, [member.region])).rows[0]?.id),
        ids: () => idsIn(client),
      };
    },
    freeze: () => {
      const pids = [member.pid(), ...descendants(member.pid())];
      signalAll(pids, 'SIGSTOP');
      return () => signalAll(pids, 'SIGCONT');
    },
  };
}
