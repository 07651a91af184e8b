// Looks at one CloudNativePG instance through its exporter. Bounded in time by the signal and in bytes by a limit.

import type { ProbeOutcome } from '@continuum/core/replication/sample';
import type { Dispatcher } from 'undici';
import { readExporter } from './parse.ts';

export type ExporterProbe = {
  readonly look: (signal: AbortSignal) => Promise<ProbeOutcome>;
  readonly close: () => void;
};

const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

/** Loaded with the first exporter: most probers have none, and it is a megabyte of source. */
async function createGet(): Promise<{ readonly get: (url: string, signal: AbortSignal) => Promise<Dispatcher.ResponseData>; readonly close: () => Promise<void> }> {
  const { Agent, request } = await import('undici');
  const agent = new Agent({ connections: 1, maxResponseSize: ANSWER_BYTES_MAX });
  return { get: (url, signal) => request(url, { dispatcher: agent, signal }), close: () => agent.destroy() };
}

export function createExporterProbe({ url }: { readonly url: string }): ExporterProbe {
  const client = createGet();
  const look: ExporterProbe['look'] = async (signal) => {
    try {
      const { statusCode, body } = await (await client).get(url, signal);
      const text = await body.text();
      if (statusCode !== 200) return { ok: false, code: 'CTM_EXPORTER_REFUSED', message: `${url} answered ${statusCode}` };
      const sample = readExporter(text);
      if (sample === null) return { ok: false, code: 'CTM_EXPORTER_GARBAGE', message: `${url} is not CloudNativePG's exporter: it has no cnpg_pg_replication_in_recovery` };
      return { ok: true, sample };
    } catch (error) {
      if (signal.aborted) return { ok: false, code: 'CTM_EXPORTER_TIMEOUT', message: `${url} did not answer in time` };
      if (error instanceof Error) return { ok: false, code: 'CTM_EXPORTER_UNREACHABLE', message: `${url}: ${error.message}` };
      throw error;
    }
  };
  return { look, close: () => void client.then(({ close }) => close()).catch(() => undefined) };
}
