// Where the list of clusters comes from. Standalone it is a file; in Kubernetes it will be the CloudNativePG `Cluster` pairs
// of a namespace, which is why this is a port.

import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { ConfigProblem } from '@continuum/wire/config-file';
import type { ProberConfig } from './config.ts';
import { readConfig } from './read-config.ts';

export type SourceEvent =
  | { readonly kind: 'changed'; readonly config: ProberConfig }
  /** What is there cannot be used; what was there stays in force. */
  | { readonly kind: 'refused'; readonly problems: readonly ConfigProblem[] }
  /** It could not even be read here; it is tried again. */
  | { readonly kind: 'unread'; readonly reason: string };

export interface ClusterSource {
  /** Tells of every change until the signal ends. The first state is the one given at start. */
  follow(onEvent: (event: SourceEvent) => void, signal: AbortSignal): Promise<void>;
}

const POLL_MS = 1_000;

/** By content, not by change events: a mounted secret is replaced by moving symbolic links, which no watch of a file sees. */
export function fileSource(file: string, firstText: string): ClusterSource {
  return {
    follow: async (onEvent, signal) => {
      let seen: string | null = firstText;
      for (;;) {
        const text = await pause(signal).then(() => readFile(file, 'utf8')).catch(unreadable);
        if (signal.aborted) return;
        if (text === null || text === seen) continue;
        const read = await readConfig(text);
        if (signal.aborted) return;
        // Read once more in a second; what is refused is read again only when it was changed.
        seen = read.ok === null ? null : text;
        onEvent(read.ok === null ? { kind: 'unread', reason: read.reason } : read.ok ? { kind: 'changed', config: read.config } : { kind: 'refused', problems: read.problems });
      }
    },
  };
}

const pause = (signal: AbortSignal): Promise<void> => delay(POLL_MS, undefined, { signal, ref: false });

/** Gone for a moment while it is replaced, or the wait was ended. */
function unreadable(error: unknown): null {
  if (error instanceof Error && 'code' in error) return null;
  throw error;
}
