// The set-up of parts with the machine's own apt-get and dpkg-deb, from a package archive made here: no network.

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import t from 'tap';
import { runFolder, waitFor } from '../../test/rig/process.ts';
import { bundleName, PARTS, resolvePart, type Part } from '../parts.mjs';
import { hasApt } from './debian.mjs';
import { ensureParts } from './install-parts.mjs';

const PACKAGE = 'continuum-test-part';

type Site = { readonly folder: string; readonly cache: string; readonly part: Part; readonly env: Record<string, string> };

/** An archive with one package, whose program says its version, but only once `hang` is gone. */
function site(folder: string, { version = '1.2.3', range = '>=1.2' } = {}): Site {
  const root = join(folder, 'root');
  const archive = join(folder, 'archive');
  for (const path of [join(root, 'DEBIAN'), join(root, 'usr', 'bin'), archive]) mkdirSync(path, { recursive: true });
  const control = `Package: ${PACKAGE}\nVersion: ${version}-1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: test\n`;
  writeFileSync(join(root, 'DEBIAN', 'control'), control);
  const program = `#!/bin/sh\necho $$ >> ${folder}/started\nwhile [ -e ${folder}/hang ]; do sleep 0.05; done\necho part ${version}\n`;
  writeFileSync(join(root, 'usr', 'bin', 'part'), program);
  chmodSync(join(root, 'usr', 'bin', 'part'), 0o755);
  const deb = join(archive, `${PACKAGE}.deb`);
  execFileSync('dpkg-deb', ['--root-owner-group', '--build', root, deb], { stdio: 'ignore' });
  const bytes = readFileSync(deb);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  writeFileSync(join(archive, 'Packages'), `${control}Filename: ./${PACKAGE}.deb\nSize: ${bytes.length}\nSHA256: ${sha256}\n\n`);
  writeFileSync(join(folder, 'sources.list'), `deb [trusted=yes] copy:${archive} ./\n`);
  writeFileSync(join(folder, 'apt.conf'), `Dir::Etc::sourcelist "${folder}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n`);
  const part: Part = {
    name: 'pdns_recursor',
    purpose: 'a part of this test',
    range,
    variable: { name: 'CONTINUUM_TEST_PART', holds: 'file' },
    command: 'part',
    systemFolders: [],
    source: { kind: 'debian', alternatives: [['continuum-no-such-package'], [PACKAGE]], folders: ['usr/bin'] },
    probe: { kind: 'version', pattern: /part (\d+\.\d+\.\d+)/ },
  };
  return { folder, cache: join(folder, 'cache'), part, env: { APT_CONFIG: join(folder, 'apt.conf') } };
}

/** A package in the archive of `folder`, with what `dpkg-deb` and the index of a release want to know of it. */
function pack(folder: string, control: string, files: Readonly<Record<string, string>>): string {
  const name = /^Package: (.*)$/m.exec(control)?.[1] ?? '';
  const root = join(folder, name);
  for (const [path, text] of Object.entries({ ...files, 'DEBIAN/control': control })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    chmodSync(join(root, path), 0o755);
  }
  const deb = join(folder, 'archive', `${name}.deb`);
  execFileSync('dpkg-deb', ['--root-owner-group', '--build', root, deb], { stdio: 'ignore' });
  const bytes = readFileSync(deb);
  return `${control}Filename: ./${name}.deb\nSize: ${bytes.length}\nSHA256: ${createHash('sha256').update(bytes).digest('hex')}\n\n`;
}

/**
 * An archive of Debian with two releases: the machine's with version 1.2.3 of the part, and a newer one, whose part wants a newer C library.
 * The newer loader is a stand-in that tells what it was asked. `folder` is short: apt makes one file name of the whole path.
 */
function releases(folder: string, { origin = 'Debian' } = {}): Site {
  const here = site(folder);
  const control = (name: string, more = '') => `Package: ${name}\nVersion: 99-1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: test\n${more}`;
  const loader = '#!/bin/sh\necho "$1 $2"; shift 2; exec "$@"\n';
  const older = readFileSync(join(folder, 'archive', 'Packages'), 'utf8');
  const index = pack(folder, control('libc6'), { 'usr/lib/test-linux-gnu/ld-linux-test.so.2': loader })
    + pack(folder, control(PACKAGE, 'Depends: libc6 (>= 99)\n'), { 'usr/bin/part': '#!/bin/sh\necho "part 9.9.9 $*"\n' });
  const architecture = execFileSync('dpkg', ['--print-architecture'], { encoding: 'utf8' }).trim();
  for (const [release, packages] of [['old', older], ['new', index]] as const) {
    const at = join(folder, 'archive', 'dists', release);
    const path = `main/binary-${architecture}/Packages`;
    mkdirSync(dirname(join(at, path)), { recursive: true });
    writeFileSync(join(at, path), packages);
    const sha256 = createHash('sha256').update(packages).digest('hex');
    writeFileSync(join(at, 'Release'), `Origin: ${origin}\nLabel: ${origin}\nCodename: ${release}\nSuite: ${release}\nArchitectures: ${architecture}\nComponents: main\nDate: ${new Date().toUTCString()}\nSHA256:\n ${sha256} ${packages.length} ${path}\n`);
  }
  writeFileSync(join(folder, 'sources.list'), `deb [trusted=yes] copy:${join(folder, 'archive')} old main\n`);
  // What is tried here is not who signed it; and a machine that prefers its own release is no obstacle.
  writeFileSync(join(folder, 'apt.conf'), `${readFileSync(join(folder, 'apt.conf'), 'utf8')}Acquire::AllowInsecureRepositories "true";\nAPT::Get::AllowUnauthenticated "true";\nAPT::Default-Release "old";\n`);
  const source = { kind: 'debian', alternatives: [[PACKAGE]], folders: ['usr/bin'], release: { name: 'new', programs: ['usr/bin/part'] } } as const;
  return { ...here, part: { ...here.part, source } };
}

/** A set-up in a process of its own; `steps` grows with what it reports. */
function setUp({ cache, part, env }: Site): { child: ChildProcess; steps: () => string; exited: Promise<number | null> } {
  const source = JSON.stringify({ ...part, probe: undefined });
  const script = `
    const { ensureParts } = await import(${JSON.stringify(new URL('./install-parts.mjs', import.meta.url).href)});
    const say = (text) => process.stdout.write(text + '\\n');
    const part = { ...${source}, probe: { kind: 'version', pattern: /part (\\d+\\.\\d+\\.\\d+)/ } };
    try {
      await ensureParts({ progress: { step: say, note: say, end: () => undefined }, parts: [part], cache: ${JSON.stringify(cache)} });
      say('READY');
    } catch (error) {
      say(error.code + ' ' + error.message);
      process.exitCode = 1;
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  return { child, steps: () => output, exited: new Promise((resolve) => child.once('close', resolve)) };
}

const temporary = (cache: string) => readdirSync(cache).filter((name) => name.startsWith('tmp-'));

t.test('parts come unpacked from the archives of the machine', { skip: hasApt() ? false : 'needs apt-get and dpkg-deb' }, async (t) => {
  t.test('a part is unpacked once, tried, and found afterwards; a second set-up does nothing', async (t) => {
    const here = site(t.testdir());
    const first = setUp(here);
    t.equal(await first.exited, 0, first.steps());
    t.match(resolvePart(here.part, {}, here.cache), { source: 'cache', version: '1.2.3' });
    t.same(readdirSync(here.cache), [bundleName(here.part)], 'nothing else is left');

    const steps: string[] = [];
    const note = (text: string) => steps.push(text);
    await ensureParts({ progress: { step: note, note, end: () => undefined }, parts: [here.part], cache: here.cache });
    t.same(steps, []);
  });

  t.test('killed in the middle: nothing half-unpacked is ever found, and the next set-up completes', async (t) => {
    const here = site(t.testdir());
    writeFileSync(join(here.folder, 'hang'), '');
    t.teardown(() => rmSync(join(here.folder, 'hang'), { force: true }));
    const first = setUp(here);
    await waitFor('the unpacked part to be tried', () => existsSync(join(here.folder, 'started')), { timeoutMs: 30_000 });
    first.child.kill('SIGKILL');
    await first.exited;
    t.equal(temporary(here.cache).length, 1, 'it was killed while unpacked aside');
    t.equal(resolvePart(here.part, {}, here.cache), null);

    rmSync(join(here.folder, 'hang'));
    const second = setUp(here);
    t.equal(await second.exited, 0, second.steps());
    t.same(readdirSync(here.cache), [bundleName(here.part)]);
  });

  t.test('two set-ups at once: the second waits and finds the work done', async (t) => {
    const here = site(t.testdir());
    writeFileSync(join(here.folder, 'hang'), '');
    t.teardown(() => rmSync(join(here.folder, 'hang'), { force: true }));
    const first = setUp(here);
    await waitFor('the first to be at work', () => existsSync(join(here.folder, 'started')), { timeoutMs: 30_000 });
    const second = setUp(here);
    await waitFor('the second to wait', () => second.steps().includes('waiting for another set-up'), { timeoutMs: 30_000 });
    rmSync(join(here.folder, 'hang'));
    t.same(await Promise.all([first.exited, second.exited]), [0, 0]);
    t.equal(readFileSync(join(here.folder, 'started'), 'utf8').trim().split('\n').length, 1, 'unpacked and tried once');
  });

  t.test('a part of another release of Debian runs under its own loader and libraries, also where the cache was copied to', async (t) => {
    const here = releases(runFolder('parts'));
    const run = setUp(here);
    t.equal(await run.exited, 0, run.steps());
    const found = resolvePart(here.part, {}, here.cache);
    t.match(found, { source: 'cache', version: '9.9.9' });
    t.same(found?.env, {}, 'other programs, the shell among them, keep the libraries of the machine');
    for (const cache of [here.cache, join(here.folder, 'copy of it')]) {
      if (cache !== here.cache) cpSync(here.cache, cache, { recursive: true });
      const { command = '' } = resolvePart(here.part, {}, cache) ?? {};
      const [asked = '', said] = execFileSync(command, ['two words', '$x'], { encoding: 'utf8' }).trim().split('\n');
      const [option, libraries = ''] = asked.split(/ (.*)/);
      t.equal(option, '--library-path');
      t.same(libraries.split(':').map((path) => resolve(path)), [join(cache, bundleName(here.part), 'usr/lib/test-linux-gnu')]);
      t.equal(said, 'part 9.9.9 two words $x');
    }
  });

  t.test('a machine whose archives are not those of Debian is told so', async (t) => {
    const here = releases(runFolder('parts'), { origin: 'Elsewhere' });
    const run = setUp(here);
    t.equal(await run.exited, 1);
    t.match(run.steps(), /CTM_PART_MISSING[^]*package continuum-test-part of Debian new[^]*set CONTINUUM_TEST_PART[^]*none of this machine's package archives is Debian's/);
  });

  t.test('a release that has moved on is told as such', async (t) => {
    const here = releases(runFolder('parts'));
    const run = setUp({ ...here, part: { ...here.part, range: '>=1.2 <9.9', nightlyOnly: true } });
    t.equal(await run.exited, 1);
    t.match(run.steps(), /pdns_recursor 9\.9\.9, accepted is >=1\.2 <9\.9; package continuum-test-part of Debian new has moved on/);
    t.same(readdirSync(here.cache), []);
  });

  t.test('a version outside the range is reported with how to supply the part, and not kept', async (t) => {
    const here = site(t.testdir(), { range: '>=2' });
    const run = setUp(here);
    t.equal(await run.exited, 1);
    t.match(run.steps(), /CTM_PART_MISSING[^]*set CONTINUUM_TEST_PART[^]*pdns_recursor 1\.2\.3, accepted is >=2/);
    t.same(readdirSync(here.cache), []);
  });
});

t.test('without the tools of Debian one report lists every missing part', async (t) => {
  const script = `
    const { ensureParts } = await import(${JSON.stringify(new URL('./install-parts.mjs', import.meta.url).href)});
    const { PARTS } = await import(${JSON.stringify(new URL('../parts.mjs', import.meta.url).href)});
    const progress = { step: () => undefined, note: () => undefined, end: () => undefined };
    const parts = PARTS.filter(({ source }) => source.kind !== 'npm');
    await ensureParts({ progress, parts, cache: ${JSON.stringify(join(t.testdir(), 'cache'))} }).catch((error) => process.stdout.write(error.message));`;
  const output = execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
    env: { CONTINUUM_PARTS_IGNORE_SYSTEM: '1', PATH: '/nonexistent' },
    encoding: 'utf8',
  });
  const expected = PARTS.filter(({ source }) => source.kind !== 'npm');
  for (const part of expected) t.ok(output.includes(part.variable.name), `${part.variable.name} is named`);
  t.match(output, /it is not Debian or Ubuntu/);
});
