// A lease and its clock, as the tests of the register drive it: each command numbered, each transition checked.

import { applyCommand, checkTransition, newLease } from '../src/lease/lease.ts';
import type { LeaseCommand, LeaseRecord, LeaseReply } from '../src/lease/types.ts';
import { lsn, regionId, wallMs } from '../src/types.ts';
import type { RegionId } from '../src/types.ts';

export const R1 = regionId('r1');
export const R2 = regionId('r2');
export const R3 = regionId('r3');
export const TTL_MS = 1_000;
export const START_MS = 1_000_000;
export const TOKEN = { systemIdentifier: '7300000000000000001', timeline: 1, checkpointLsn: lsn('0/3000028') };

type Body<K extends LeaseCommand['kind']> = Partial<Omit<Extract<LeaseCommand, { kind: K }>, 'kind' | 'region' | 'seq'>>;

/** A lease and its clock; `send` numbers commands per region and fails the test when an invariant breaks. */
export class Register {
  record: LeaseRecord = newLease('shop', wallMs(START_MS));
  atMs = START_MS;
  readonly seq = new Map<RegionId, number>();

  apply(command: LeaseCommand): ReturnType<typeof applyCommand> {
    const applied = applyCommand(deepFreeze(this.record), deepFreeze(command), wallMs(this.atMs));
    checkTransition(this.record, applied.record);
    this.record = applied.record;
    return applied;
  }

  next(region: RegionId): { region: RegionId; seq: number; instance: string } {
    const seq = (this.seq.get(region) ?? 0) + 1;
    this.seq.set(region, seq);
    return { region, seq, instance: `${region}-controller` };
  }

  acquire(region: RegionId, body: Body<'acquire'> = {}) {
    const base = { epochSeen: this.record.epoch, ttlMs: TTL_MS, policyHash: 'p', force: null };
    return this.apply({ kind: 'acquire', ...this.next(region), ...base, ...body });
  }
  renew(region: RegionId, body: Body<'renew'> = {}) {
    const base = { epoch: this.record.epoch, ttlMs: TTL_MS, policyHash: 'p' };
    return this.apply({ kind: 'renew', ...this.next(region), ...base, ...body });
  }
  release(region: RegionId, body: Body<'release'> = {}) {
    return this.apply({ kind: 'release', ...this.next(region), epoch: this.record.epoch, ...body });
  }
  transfer(region: RegionId, to: RegionId, body: Body<'transfer'> = {}) {
    const base = { epoch: this.record.epoch, id: 's1', to, token: TOKEN };
    return this.apply({ kind: 'transfer', ...this.next(region), ...base, ...body });
  }
  setInSync(region: RegionId, inSync: RegionId[], body: Body<'setInSync'> = {}) {
    return this.apply({ kind: 'setInSync', ...this.next(region), epoch: this.record.epoch, inSync, ...body });
  }
  request(region: RegionId, body: Body<'requestSwitchover'> = {}) {
    const base = { id: 's1', from: R1, to: R2, validForMs: 500 };
    return this.apply({ kind: 'requestSwitchover', ...this.next(region), ...base, ...body });
  }
  answer(region: RegionId, body: Body<'answerSwitchover'> = {}) {
    const base = { id: 's1', answer: 'ready' as const, reasons: [] };
    return this.apply({ kind: 'answerSwitchover', ...this.next(region), ...base, ...body });
  }
}

/** r1 holds epoch 1 and both regions are in sync. */
export function healthy(): Register {
  const register = new Register();
  register.acquire(R1);
  register.setInSync(R1, [R1, R2]);
  return register;
}

export function code(applied: { reply: LeaseReply }): string {
  return applied.reply.outcome.ok ? 'ok' : applied.reply.outcome.code;
}

function deepFreeze<T>(value: T): T {
  if (value !== null && typeof value === 'object' && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
