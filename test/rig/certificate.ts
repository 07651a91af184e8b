// A certificate authority of a test's own, and a server certificate for one address, made with `openssl`.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runFolder } from './process.ts';

export type TestCertificate = {
  /** Whom a client must trust, as PEM. */
  readonly ca: string;
  readonly server: { readonly cert: string; readonly key: string };
};

export function testCertificate(address: string): TestCertificate {
  const folder = runFolder('certificate');
  const file = (name: string): string => join(folder, name);
  const openssl = (...args: readonly string[]): void => void execFileSync('openssl', [...args], { stdio: 'ignore' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...newKey, '-keyout', file('ca.key'), '-out', file('ca.pem'), '-days', '2', '-subj', '/CN=test authority');
  openssl('req', ...newKey, '-keyout', file('server.key'), '-out', file('server.csr'), '-subj', '/CN=resolver');
  writeFileSync(file('extensions'), `subjectAltName=IP:${address}\n`);
  openssl('x509', '-req', '-in', file('server.csr'), '-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-out', file('server.pem'), '-days', '2', '-extfile', file('extensions'));
  const read = (name: string): string => readFileSync(file(name), 'utf8');
  return { ca: read('ca.pem'), server: { cert: read('server.pem'), key: read('server.key') } };
}
