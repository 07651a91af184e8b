// A witness with a broken configuration answers nothing but the list of what is wrong; the one that is delivered can be
// deployed as it is.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { generateKeyPair } from '@continuum/wire';
import type { Problem } from '@continuum/wire';
import { freePort, runFolder } from '../../../test/rig/process.ts';
import { startWitness } from '../../../test/rig/witness.ts';

const ADDRESS = '127.30.9.5';

t.test('a broken configuration is reported whole, without the secret', async (t) => {
  const pair = await generateKeyPair();
  const start = async (variables: Record<string, unknown>) =>
    startWitness({
      folder: runFolder('witness-config'),
      address: ADDRESS,
      port: await freePort(ADDRESS),
      regions: [{ region: 'r1', publicKeys: { a: pair.publicKey } }],
      leases: ['shop'],
      variables,
    });
  const problems: [Record<string, unknown>, readonly string[]][] = [
    [{ REGIONS: { R1: { a: pair.publicKey } }, LEASES: { shop: [] } }, ['REGIONS.R1', 'LEASES.shop']],
    [{ REGIONS: { r1: { a: pair.publicKey, b: pair.publicKey, c: pair.publicKey } } }, ['REGIONS.r1']],
    [{ REGIONS: { r1: { a: 'AAAA' } } }, ['REGIONS']],
    [{ REGIONS: { r1: { a: pair.publicKey }, r2: { a: pair.publicKey } } }, ['REGIONS.r2.a']],
    [{ LEASES: { shop: ['r1', 'r9'] } }, ['LEASES.shop']],
    [{ RESTORE: { shop: { epoch: 4, inSync: ['r9'] } } }, ['RESTORE.shop.inSync']],
    [{ WITNESS_KEY_ID: 'r1/a' }, ['WITNESS_KEY_ID']],
    [{ WITNESS_SIGNING_KEY: 'Hunter2' }, ['WITNESS_SIGNING_KEY']],
    [{ WITNESS_SIGNING_KEY: { d: 'Hunter2' } }, ['WITNESS_SIGNING_KEY']],
    [{ LOCATION_HINT: 'moon', JURISDICTION: 'mars', SIGNATURE_WINDOW_SECONDS: 1 }, ['LOCATION_HINT', 'JURISDICTION', 'SIGNATURE_WINDOW_SECONDS']],
  ];
  for (const [variables, paths] of problems) {
    const answer = await start(variables).then(
      (healthy) => healthy.process.kill().then(() => '{}'),
      (error: Error) => error.message,
    );
    const problem = JSON.parse(answer.replace(/^[^{]*/, '')) as Problem;
    t.match(problem, { status: 500, code: 'CTM_WITNESS_CONFIG_INVALID', retryable: false });
    t.same((problem.fields ?? []).map(({ path }) => path).sort(), [...paths].sort());
    t.ok((problem.fields ?? []).every(({ fix }) => fix.length > 5), 'each says what to do');
    t.notMatch(answer, /Hunter2|PRIVATE KEY-----/);
  }
});

t.test('wrangler accepts the configuration and bundles the worker', async (t) => {
  const witness = fileURLToPath(new URL('../', import.meta.url));
  const outdir = runFolder('witness-deploy');
  const wrangler = join(dirname(createRequire(import.meta.url).resolve('wrangler/package.json')), 'bin', 'wrangler.js');
  const child = spawn(process.execPath, [wrangler, 'deploy', '--dry-run', '--outdir', outdir], {
    cwd: witness,
    env: { ...process.env, WRANGLER_SEND_METRICS: 'false', WRANGLER_LOG_PATH: outdir, CI: 'true' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number];
  t.equal(code, 0, output);
  t.match(output, /LEASE \(LeaseObject\)/);
  t.ok(/as default[\s\S]*LeaseObject|LeaseObject[\s\S]*as default/.test(readFileSync(join(outdir, 'index.js'), 'utf8').slice(-500)), 'it exports both');
});
