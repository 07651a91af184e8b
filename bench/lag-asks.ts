// What the looks of a prober cost before anything is made of the answers: the same connections, the same question at the same
// times. Started beside it with the same configuration; prints how many it asked when it is ended.

import { readFileSync } from 'node:fs';
import { Asker } from '../packages/adapters/src/postgres/asker.ts';
import { QUESTIONS } from '../packages/adapters/src/postgres-probe/statement.ts';

type Config = {
  readonly intervalMs: number;
  readonly clusters: readonly { readonly ends: readonly { readonly sql: { readonly host: string; readonly port: number; readonly database: string; readonly user: string; readonly passFile: string } }[] }[];
};

const { intervalMs, clusters } = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Config;
const askers = clusters.flatMap(({ ends }) =>
  ends.map(({ sql: { user, ...sql } }) => new Asker({ ...sql, controlUser: user, connectTimeoutMs: 2_000 }, 'bench-asks', QUESTIONS.none)),
);
const { signal } = new AbortController();
let asked = 0;
setInterval(() => {
  for (const asker of askers) void asker.ask(signal).then(() => asked++);
}, intervalMs);
process.on('SIGUSR2', () => process.stdout.write(`${asked}\n`));
