// The controller's side of the gate link: a unix socket on which the region's gates ask for their instructions. The remaining
// validity is worked out when a gate asks, from this machine's monotonic clock; nothing here decides anything.

import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import type { MonoMs, Now } from '@continuum/core';
import { leftMs } from '@continuum/core';
import type { Result } from '@continuum/ports';
import { success } from '@continuum/ports';
import type { GateAnswer, GateAsk, GateInstruction } from '@continuum/wire/gate-link';
import { gateAsk } from '@continuum/wire/gate-link';
import { lineSplitter } from '@continuum/wire/lines';
import { listenOnSocket } from '../unix-socket/listen.ts';

const LINE_LENGTH_MAX = 4_096;
/** A gate that does not read what it asked for is dropped before its answers pile up here. */
const UNREAD_BYTES_MAX = 65_536;
const GATES_MAX = 16;
const SILENT_MS_MAX = 5_000;

export type GateLinkInstruction = Omit<GateInstruction, 'version' | 'remainingMs'>;

/** What the gates reported last. Several gates (a rolling restart): held is summed, applied is that of the slowest. */
export type GateObserved = {
  readonly connected: boolean;
  readonly held: number;
  /** Highest `version` that is in force in every connected gate; 0 when none is. */
  readonly applied: number;
  readonly epoch: number;
};

export type GateLink = {
  /** Makes this the instruction, tells the gates to ask, and returns its version: wait for `applied` to reach it. */
  readonly set: (instruction: GateLinkInstruction, validUntilMonoMs: MonoMs) => number;
  readonly observed: () => GateObserved;
  readonly close: () => Promise<void>;
};

export type GateLinkOptions = {
  readonly socketPath: string;
  /** The very clock that `validUntilMonoMs` is on: two monotonic clocks of one process may have different origins. */
  readonly clock: () => Now;
  readonly onChange?: (observed: GateObserved) => void;
  /** A gate sent something that is not of the protocol, or was silent; its connection was dropped. */
  readonly onDropped?: (reason: string) => void;
  /** Members of this group may be gates too; otherwise only this user. */
  readonly socketGid?: number;
};

type Current = {
  readonly instruction: GateLinkInstruction;
  readonly version: number;
  readonly validUntilMonoMs: MonoMs;
  readonly set: Now;
};

type Gate = { readonly socket: Socket; last: GateAsk | null };

/**
 * Failures: `CTM_GATE_LINK_IN_USE` (a living process serves this path), `CTM_GATE_LINK_PATH` (too long, or something else
 * is there), `CTM_GATE_LINK_LISTEN`.
 */
export async function createGateLink(options: GateLinkOptions): Promise<Result<GateLink>> {
  const { clock, socketPath, socketGid } = options;
  const gates = new Set<Gate>();
  let current: Current | null = null;
  let reported = describe(gates);

  const tell = (): void => {
    const now = describe(gates);
    if (sameObserved(reported, now)) return;
    reported = now;
    options.onChange?.(now);
  };
  const server = createServer((socket) => {
    if (gates.size >= GATES_MAX) {
      options.onDropped?.(`more than ${GATES_MAX} gates`);
      socket.destroy();
      return;
    }
    const gate: Gate = { socket, last: null };
    gates.add(gate);
    serve(gate, {
      answer: (ask) => ({ answer: ask.ask, instruction: current === null ? null : instructionNow(current, clock()) }),
      asked: tell,
      dropped: (reason) => options.onDropped?.(reason),
      closed: () => {
        gates.delete(gate);
        tell();
      },
    });
  });
  const listening = await listenOnSocket(server, { socketPath, socketGid, what: 'gate socket', code: 'CTM_GATE_LINK' });
  if (!listening.ok) return listening;

  return success({
    set: (instruction, validUntilMonoMs) => {
      const changed = current === null || !sameInstruction(current.instruction, instruction);
      const now = clock();
      const shortened = current !== null && validUntilMonoMs < current.validUntilMonoMs;
      const revived = current !== null && current.validUntilMonoMs <= now.monoMs;
      const version = (current?.version ?? 0) + (changed ? 1 : 0);
      current = { instruction, version, validUntilMonoMs, set: now };
      if (changed || shortened || revived) for (const gate of gates) send(gate.socket, { changed: true });
      return version;
    },
    observed: () => describe(gates),
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const { socket } of gates) socket.destroy();
      }),
  });
}

function serve(
  gate: Gate,
  on: {
    readonly answer: (ask: GateAsk) => GateAnswer;
    readonly asked: () => void;
    readonly dropped: (reason: string) => void;
    readonly closed: () => void;
  },
): void {
  const { socket } = gate;
  const drop = (reason: string): void => {
    if (socket.destroyed) return;
    on.dropped(reason);
    socket.destroy();
  };
  const split = lineSplitter(LINE_LENGTH_MAX);
  socket.setEncoding('utf8');
  socket.setTimeout(SILENT_MS_MAX, () => drop(`a gate asked nothing for ${SILENT_MS_MAX} ms`));
  socket.on('data', (chunk: string) => {
    const received = split(chunk);
    const asks = received.ok ? received.lines.map(parseAsk) : [null];
    for (const ask of asks) {
      if (socket.destroyed) return;
      if (ask === null) return drop('a gate sent something that is not of the protocol');
      gate.last = ask;
      send(socket, on.answer(ask));
      on.asked();
    }
    if (socket.writableLength > UNREAD_BYTES_MAX) drop('a gate does not read its answers');
  });
  socket.on('error', (error) => drop(error.message));
  socket.on('close', on.closed);
}

/** The instruction with what is left of its validity now, less what this machine slept since it was set. */
function instructionNow(current: Current, now: Now): GateInstruction {
  const remainingMs = leftMs(current.validUntilMonoMs, current.set, now);
  return { ...current.instruction, version: current.version, remainingMs };
}

function send(socket: Socket, message: GateAnswer): void {
  if (!socket.destroyed) socket.write(`${JSON.stringify(message)}\n`);
}

function parseAsk(line: string): GateAsk | null {
  try {
    const parsed = gateAsk.safeParse(JSON.parse(line));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

function describe(gates: ReadonlySet<Gate>): GateObserved {
  const asks = [...gates].flatMap(({ last }) => (last === null || last.role === 'beacon' ? [] : [last]));
  return {
    connected: asks.length > 0,
    held: asks.reduce((sum, { held }) => sum + held, 0),
    applied: asks.length === 0 ? 0 : Math.min(...asks.map(({ applied }) => applied)),
    epoch: Math.max(0, ...asks.map(({ epoch }) => epoch)),
  };
}

function sameObserved(a: GateObserved, b: GateObserved): boolean {
  return a.connected === b.connected && a.held === b.held && a.applied === b.applied && a.epoch === b.epoch;
}

function sameInstruction(a: GateLinkInstruction, b: GateLinkInstruction): boolean {
  return (
    a.epoch === b.epoch &&
    a.mode === b.mode &&
    a.activeRegion === b.activeRegion &&
    a.holdForwarded === b.holdForwarded &&
    a.holdMsMax === b.holdMsMax
  );
}
