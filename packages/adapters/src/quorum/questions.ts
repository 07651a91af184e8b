// Questions about one thing, each with a nonce of its own, made in batches: to fetch random bytes costs the same for few and for many.
// A question that waits is as hard to guess as one that is made when it is asked.

import { randomFillSync } from 'node:crypto';
import { RANDOM_BYTES, makeQuestion, questionForm } from './question.ts';
import type { Question } from './question.ts';

export type Questions = {
  /** None is given twice. */
  readonly next: () => Question;
  readonly nextOverHttps: () => Question;
};

const BATCH = 32;

/** `restName`: what follows the nonce in the name. */
export function createQuestions(restName: string): Questions {
  const form = questionForm(restName);
  const random = Buffer.alloc(BATCH * RANDOM_BYTES);
  const made: Question[] = [];
  const makeBatch = (): Question => {
    randomFillSync(random);
    for (let at = 0; at < random.length; at += RANDOM_BYTES) made.push(makeQuestion(form, random.subarray(at, at + RANDOM_BYTES)));
    return made.pop() as Question;
  };
  return {
    next: () => made.pop() ?? makeBatch(),
    nextOverHttps: () => makeQuestion(form, randomFillSync(Buffer.alloc(RANDOM_BYTES)), true),
  };
}
