// `continuum lag`: what a lag prober knows. What is not known is shown as "unknown" with its reason, never as a number.

import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import type { ClusterReport, StandbyReport } from '@continuum/core/replication/index';
import { figureText, verdictText } from './replication-text.ts';

export type LagOptions = {
  readonly prober: string;
  readonly 'token-file'?: string | undefined;
  readonly output: string;
  readonly watch: boolean;
  readonly cluster: string | null;
};

const EXIT = { refused: 1, usage: 2, unreachable: 3 } as const;
const REQUEST_TIMEOUT_MS = 10_000;
const WAIT_S = 30;
/** All clusters at once have no long poll. */
const WATCH_ALL_MS = 1_000;

type Quit = (code: number, message: string) => never;
type Answer = { readonly tag: string | null; readonly body: unknown };

export async function lag(options: LagOptions, say: (text: string) => void, quit: Quit): Promise<void> {
  if (options.output !== 'text' && options.output !== 'json') quit(EXIT.usage, `--output ${options.output}: use text or json`);
  if (!URL.canParse(options.prober)) quit(EXIT.usage, `--prober ${options.prober}: use the address of a lag prober, for example http://127.0.0.1:9188`);
  const token = readToken(options['token-file'], quit);
  let tag: string | null = null;
  do {
    const answer = await ask({ ...options, token, hops: 1 }, tag, quit);
    if (answer !== null) {
      tag = answer.tag;
      say(options.output === 'json' ? JSON.stringify(answer.body) : describe(options.cluster, answer.body));
    }
    if (options.watch && options.cluster === null) await delay(WATCH_ALL_MS);
  } while (options.watch);
}

function readToken(file: string | undefined, quit: Quit): string | null {
  try {
    return file === undefined ? null : readFileSync(file, 'utf8').trim();
  } catch (error) {
    return quit(EXIT.usage, `--token-file ${file}: ${(error as Error).message}`);
  }
}

/** `hops`: a prober sends us to the one that watches this cluster, and that one to nobody. */
type Question = Pick<LagOptions, 'prober' | 'cluster'> & { readonly token: string | null; readonly hops: number };

/** Null: nothing new while it waited. */
async function ask({ prober, cluster, token, hops }: Question, tag: string | null, quit: Quit): Promise<Answer | null> {
  const path = cluster === null ? '/v1/replication' : `/v1/replication/${encodeURIComponent(cluster)}`;
  const headers = {
    ...(tag === null ? {} : { 'if-none-match': tag }),
    ...(token === null ? {} : { authorization: `Bearer ${token}` }),
  };
  const wait = tag === null || cluster === null ? '' : `?wait=${WAIT_S}`;
  try {
    const { statusCode, headers: got, body } = await request(new URL(`${path}${wait}`, prober), { headers, headersTimeout: REQUEST_TIMEOUT_MS + WAIT_S * 1_000 });
    const text = await body.text();
    if (statusCode === 304) return null;
    if (statusCode === 307 && hops > 0) return await ask({ prober: new URL(String(got['location'])).origin, cluster, token, hops: hops - 1 }, tag, quit);
    if (statusCode !== 200) return quit(EXIT.refused, problemText(text));
    return { tag: typeof got['etag'] === 'string' ? got['etag'] : null, body: JSON.parse(text) };
  } catch (error) {
    return quit(EXIT.unreachable, `no lag prober at ${prober}: ${(error as Error).message}`);
  }
}

function describe(cluster: string | null, body: unknown): string {
  if (cluster !== null) return clusterText(body as ClusterReport);
  const { clusters } = body as { clusters: readonly { cluster: string; primary: string | null; standbys: readonly Pick<StandbyReport, 'name' | 'verdict' | 'lag'>[] }[] };
  const rows = clusters.flatMap((one) =>
    one.standbys.map(({ name, verdict, lag: { bytes, milliseconds } }) => [`${one.cluster}/${name}`, `primary ${one.primary ?? 'unknown'}`, figureText(milliseconds), figureText(bytes), verdictText(verdict)].join('  ')),
  );
  return rows.join('\n');
}

function clusterText({ cluster, primary, standbys, ends }: ClusterReport): string {
  const head = primary === null ? `${cluster}: no primary known` : `${cluster}: primary ${primary.name}, timeline ${primary.timeline}, at ${primary.lsn}, seen ${Math.round(primary.ageMs)} ms ago`;
  const lines = standbys.flatMap((one) => [
    `  ${one.name}: ${verdictText(one.verdict)}${one.verdictForMs === null ? '' : ` for ${(one.verdictForMs / 1_000).toFixed(1)} s`}${one.syncState === null ? '' : `, ${one.syncState}`}`,
    `    not replayed  ${figureText(one.lag.milliseconds)}, ${figureText(one.lag.bytes)}`,
    `    would be lost ${one.loss.text}`,
  ]);
  const failures = ends.flatMap(({ name, failure }) => (failure === null ? [] : [`  ${name}: ${failure.code} for ${(failure.forMs / 1_000).toFixed(1)} s: ${failure.message}`]));
  return [head, ...lines, ...failures].join('\n');
}

function problemText(text: string): string {
  try {
    const { code, detail } = JSON.parse(text) as { code?: string; detail?: string };
    return `${code ?? 'CTM_API_UNKNOWN'}: ${detail ?? text}`;
  } catch {
    return `CTM_API_UNKNOWN: ${text.slice(0, 200)}`;
  }
}
