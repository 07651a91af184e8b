// The controller's ear for the lag prober beside it: a unix socket on which reports come in. Nothing goes back, nothing is kept
// but the newest report, and a prober that says something else is dropped and named.

import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import type { LagReport } from '@continuum/core/replication/reported';
import type { Result } from '@continuum/ports';
import { success } from '@continuum/ports';
import { LAG_REPORT_LENGTH_MAX, readLagReport } from '@continuum/wire/lag-report';
import { lineSplitter } from '@continuum/wire/lines';
import { listenOnSocket } from '../unix-socket/listen.ts';

/** Two probers, and each once more while it reconnects. */
const PROBERS_MAX = 4;
/** Reports come no faster than this; of those in between the newest counts. */
const REPORT_MS_MIN = 20;
/** A prober that died without a word must not keep its place for ever. */
const SILENT_MS_MAX = 1_200_000;

export type LagLink = { readonly close: () => Promise<void> };

export type LagLinkOptions = {
  readonly socketPath: string;
  /** Reports about other clusters are passed over. */
  readonly cluster: string;
  readonly regions: readonly string[];
  readonly onReport: (report: LagReport) => void;
  /** Something else came in: every field that is wrong. Its connection was dropped. */
  readonly onRefused: (problem: string) => void;
};

/** Failures: `CTM_LAG_LINK_PATH`, `CTM_LAG_LINK_IN_USE`, `CTM_LAG_LINK_LISTEN`. */
export async function createLagLink(options: LagLinkOptions): Promise<Result<LagLink>> {
  const probers = new Set<Socket>();
  const slowed = slowDown(options.onReport);
  const server = createServer((socket) => {
    if (probers.size >= PROBERS_MAX) {
      options.onRefused(`(connection): more than ${PROBERS_MAX} probers`);
      socket.destroy();
      return;
    }
    probers.add(socket);
    socket.on('close', () => probers.delete(socket));
    hear(socket, slowed, options);
  });
  const listening = await listenOnSocket(server, { socketPath: options.socketPath, what: 'lag socket', code: 'CTM_LAG_LINK' });
  if (!listening.ok) return listening;
  return success({
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        slowed.stop();
        for (const socket of probers) socket.destroy();
      }),
  });
}

type Slowed = { readonly take: (report: LagReport) => void; readonly stop: () => void };

function slowDown(onReport: (report: LagReport) => void): Slowed {
  let waiting: LagReport | null = null;
  let timer: NodeJS.Timeout | null = null;
  const next = (): void => {
    timer = null;
    if (waiting === null) return;
    const report = waiting;
    waiting = null;
    timer = setTimeout(next, REPORT_MS_MIN);
    onReport(report);
  };
  return {
    take: (report) => {
      waiting = report;
      if (timer === null) next();
    },
    stop: () => clearTimeout(timer ?? undefined),
  };
}

function hear(socket: Socket, reports: Slowed, own: Pick<LagLinkOptions, 'cluster' | 'regions' | 'onRefused'>): void {
  const drop = (problem: string): void => {
    if (socket.destroyed) return;
    socket.destroy();
    own.onRefused(problem);
  };
  const split = lineSplitter(LAG_REPORT_LENGTH_MAX);
  const decoder = new StringDecoder('utf8');
  socket.setTimeout(SILENT_MS_MAX, () => socket.destroy());
  // A connection that breaks is a prober that restarts: it comes back by itself.
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    const received = split(decoder.write(chunk));
    if (!received.ok) return drop(`(line): longer than ${LAG_REPORT_LENGTH_MAX} characters`);
    let newest: LagReport | null = null;
    for (const line of received.lines) {
      const read = readLagReport(line, own);
      if (!read.ok) return drop(read.problem);
      newest = read.report ?? newest;
    }
    // After a pause of this process many are waiting; what was said before the newest is of no use any more.
    if (newest !== null) reports.take(newest);
  });
}
