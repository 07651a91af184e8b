// Whether every name leads to the region that took over, as clients find it: through most of the resolvers, by every type that
// they may ask for.

import { setTimeout as delay } from 'node:timers/promises';
import type { ResolverAnswer } from '@continuum/ports';
import { leadsTo, QUESTIONS_AT_ONCE } from './dns-answers.ts';
import type { DnsQuestion, RegionAddresses } from './dns-answers.ts';

const POLL_MS = 250;

export type Confirmation = {
  /** The answers by which each name was confirmed. */
  readonly confirmed: readonly (ResolverAnswer & { readonly name: string; readonly type: string })[];
  /** Names that were not seen to lead here before the signal ended it, with their type. */
  readonly waitingFor: readonly string[];
};

export async function confirmNames(questions: readonly DnsQuestion[], region: string, addresses: RegionAddresses, signal: AbortSignal): Promise<Confirmation> {
  const confirmed: Confirmation['confirmed'][number][] = [];
  const confirm = async ({ name, type, ask }: DnsQuestion): Promise<boolean> => {
    const answers = await ask(signal);
    const here = answers.filter((one) => leadsTo(region, one, addresses));
    if (here.length * 2 <= answers.length) return false;
    confirmed.push(...answers.map((one) => ({ name, type, ...one })));
    return true;
  };
  let waiting = questions;
  while (waiting.length > 0 && !signal.aborted) {
    const group = waiting.slice(0, QUESTIONS_AT_ONCE);
    const found = await Promise.all(group.map(confirm));
    const again = group.filter((_, index) => found[index] !== true);
    waiting = [...waiting.slice(QUESTIONS_AT_ONCE), ...again];
    if (again.length > 0) await delay(POLL_MS);
  }
  return { confirmed, waitingFor: waiting.map(({ name, type }) => `${name} ${type}`) };
}
