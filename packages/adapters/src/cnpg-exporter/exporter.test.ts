// CloudNativePG's exporter, as text and over HTTP: what is taken from it, and what is not.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'tap';
import { readExporter } from './parse.ts';
import { createExporterProbe } from './probe.ts';

const PRIMARY = `# HELP cnpg_pg_replication_in_recovery Whether the instance is in recovery
# TYPE cnpg_pg_replication_in_recovery gauge
cnpg_pg_replication_in_recovery 0
cnpg_pg_replication_lag 0
cnpg_pg_replication_is_wal_receiver_up 0
cnpg_pg_stat_replication_replay_diff_bytes{application_name="shop-r2",client_addr="10.0.0.2",client_port="5432",usename="streaming_replica"} 4096
cnpg_pg_stat_replication_replay_lag_seconds{application_name="shop-r2",client_addr="10.0.0.2",client_port="5432",usename="streaming_replica"} 1.5
cnpg_pg_stat_replication_replay_diff_bytes{application_name="odd \\"name\\"",client_addr="10.0.0.3"} NaN
go_goroutines 12
`;

test('a primary: what its standbys confirmed, and unknown for what is no number', async (t) => {
  t.same(readExporter(PRIMARY), {
    role: 'exporter',
    inRecovery: false,
    receiverUp: false,
    walsenders: [
      { name: 'shop-r2', replayBytes: 4096, replayLagMs: 1_500 },
      { name: 'odd "name"', replayBytes: null, replayLagMs: null },
    ],
  });
});

test('a standby: its own lag of 0 is not taken, with or without a receiver', async (t) => {
  const sample = readExporter('cnpg_pg_replication_in_recovery 1\ncnpg_pg_replication_lag 0\ncnpg_pg_replication_is_wal_receiver_up 0\n');
  t.same(sample, { role: 'exporter', inRecovery: true, receiverUp: false, walsenders: [] });
});

test('something else is not read as a CloudNativePG instance', async (t) => {
  for (const text of ['', 'go_goroutines 12\n', '<html></html>', 'cnpg_pg_replication_in_recovery NaN\n']) t.equal(readExporter(text), null, text.slice(0, 20));
});

test('over HTTP: an answer, a refusal, garbage, more than anybody asked for, nothing', async (t) => {
  let manner = 'ok';
  const server = createServer((request, response) => {
    if (manner === 'ok') response.end(PRIMARY);
    if (manner === 'refused') response.writeHead(403).end('no');
    if (manner === 'garbage') response.end('hello');
    if (manner === 'endless') {
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x23)));
      };
      response.on('drain', more);
      more();
    }
    request.resume();
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const probe = createExporterProbe({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics` });
  t.teardown(probe.close);
  const expected = { ok: { ok: true }, refused: { code: 'CTM_EXPORTER_REFUSED' }, garbage: { code: 'CTM_EXPORTER_GARBAGE' }, endless: { code: 'CTM_EXPORTER_UNREACHABLE' }, never: { code: 'CTM_EXPORTER_TIMEOUT' } };
  for (const [name, wanted] of Object.entries(expected)) {
    manner = name;
    t.match(await probe.look(AbortSignal.timeout(2_000)), wanted, name);
  }
  manner = 'ok';
  t.match(await probe.look(AbortSignal.timeout(2_000)), { ok: true }, 'and it is asked again as if nothing had been');
});
