// Looks at one CloudNativePG instance through its exporter. Bounded in time by the signal and in bytes by a limit.

import type { ProbeOutcome } from '@continuum/core/replication/sample';
import { Agent, request } from 'undici';
import { readExporter } from './parse.ts';

export type ExporterProbe = {
  readonly look: (signal: AbortSignal) => Promise<ProbeOutcome>;
  readonly close: () => void;
};

const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

export function createExporterProbe({ url }: { readonly url: string }): ExporterProbe {
  const agent = new Agent({ connections: 1, maxResponseSize: ANSWER_BYTES_MAX });
  const look: ExporterProbe['look'] = async (signal) => {
    try {
      const { statusCode, body } = await request(url, { dispatcher: agent, signal });
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
  return { look, close: () => void agent.destroy().catch(() => undefined) };
}
