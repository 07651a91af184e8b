// What every `ResolversPort` must do, tried on servers in each state that a resolver can be in.

import type { Test } from 'tap';
import type { ResolverAnswer, ResolversPort } from '../resolvers.ts';

export type ResolversSubject = {
  /** One resolver per state, in this order. */
  readonly resolvers: ResolversPort;
  readonly states: readonly { readonly resolver: string; readonly state: 'healthy' | 'no-authority' | 'silent' | 'not-listening' }[];
  /** A name with these addresses (a resolver may turn their order), and one that does not exist. */
  readonly name: string;
  readonly addresses: readonly string[];
  readonly missingName: string;
  /** Longest time that `resolve` may take: the deadline of one resolver and some. */
  readonly boundMs: number;
};

export async function resolversContract(t: Test, subject: ResolversSubject): Promise<void> {
  const { resolvers, states, boundMs } = subject;
  const never = new AbortController().signal;
  const named = (answers: readonly ResolverAnswer[]) => answers.map((answer) => answer.resolver);

  await t.test('one answer per resolver, in order; only a healthy one answers, the others abstain with a reason', async (t) => {
    const answers = await resolvers.resolve(subject.name, never);
    t.same(named(answers), states.map((state) => state.resolver));
    for (const [index, answer] of answers.entries()) {
      if (states[index]?.state === 'healthy') {
        t.match(answer, { status: 'answered' });
        t.same(answer.status === 'answered' && [...answer.addresses].sort(), [...subject.addresses].sort());
        t.ok(answer.status === 'answered' && Number.isInteger(answer.ttlSeconds) && answer.ttlSeconds >= 0);
      } else {
        t.match(answer, { status: 'abstained', reason: /\S/ }, `${states[index]?.state}`);
      }
    }
  });

  await t.test('a name that does not exist is no vote', async (t) => {
    const answers = await resolvers.resolve(subject.missingName, never);
    t.ok(answers.every((answer) => answer.status === 'abstained'));
  });

  await t.test('text that is no name is no vote and no throw', async (t) => {
    for (const name of ['', '..', 'a'.repeat(300), 'with space.test', '\0']) {
      const answers = await resolvers.resolve(name, never);
      t.ok(answers.every((answer) => answer.status === 'abstained'), JSON.stringify(name.slice(0, 20)));
    }
  });

  await t.test('a silent resolver holds nobody up beyond its own deadline', async (t) => {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), boundMs);
    await resolvers.resolve(subject.name, never);
    clearTimeout(timer);
    t.notOk(late.signal.aborted, `all answered or abstained within ${boundMs} ms`);
  });

  await t.test('an aborted signal ends the question, also one under way', async (t) => {
    const before = await resolvers.resolve(subject.name, AbortSignal.abort());
    t.ok(before.every((answer) => answer.status === 'abstained'));
    const during = new AbortController();
    const asked = resolvers.resolve(subject.name, during.signal);
    during.abort();
    const silent = states.findIndex((state) => state.state === 'silent');
    t.match((await asked)[silent], { status: 'abstained', reason: 'aborted' });
  });
}
