// Starts a real dnsdist as the DNS-over-HTTPS side of a resolver: its own certificate, the same answers.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { locate } from '../../scripts/parts.mjs';
import type { TestCertificate } from './certificate.ts';
import type { Started } from './process.ts';
import { start, waitFor } from './process.ts';

export type HttpsResolverOptions = {
  readonly folder: string;
  readonly address: string;
  readonly port: number;
  readonly certificate: TestCertificate;
  readonly upstream: { readonly address: string; readonly port: number };
};

/** At `https://<address>:<port>/dns-query`. */
export async function startHttpsResolver({ folder, address, port, certificate, upstream }: HttpsResolverOptions): Promise<Started> {
  const part = locate('dnsdist');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const [config, cert, key] = [join(folder, 'dnsdist.conf'), join(folder, 'cert.pem'), join(folder, 'key.pem')];
  writeFileSync(cert, certificate.server.cert);
  writeFileSync(key, certificate.server.key, { mode: 0o600 });
  const lines = [
    "setACL({'127.0.0.0/8'})",
    "setSecurityPollSuffix('')",
    `newServer({address='${upstream.address}:${upstream.port}', checkName='1.0.0.127.in-addr.arpa.', checkType='PTR'})`,
    `addDOHLocal('${address}:${port}', '${cert}', '${key}', '/dns-query')`,
  ];
  writeFileSync(config, `${lines.join('\n')}\n`);
  const started = await start({ name: `DNS over HTTPS at ${address}`, command: part.command, args: ['--supervised', '--disable-syslog', '--config', config], env: part.env, logFile: join(folder, 'dnsdist.log') });
  await waitFor(`${started.name} (see ${started.logFile})`, async () => {
    if (!started.running()) throw new Error(`it ended: ${await started.exited}`);
    return /Marking downstream \S+ as 'up'/.test(readFileSync(started.logFile, 'utf8'));
  });
  return started;
}
