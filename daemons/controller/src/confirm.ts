// The question before something that cannot be taken back. A script answers it by its arguments; a person at a terminal is asked.

import { createInterface } from 'node:readline/promises';

/** True when `word` was typed; at once when there is nobody to ask. */
export async function confirmed(question: string, word: string): Promise<boolean> {
  if (process.stdin.isTTY !== true) return true;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question(`${question}\nType ${word} to go on: `)).trim() === word;
  } finally {
    terminal.close();
  }
}
