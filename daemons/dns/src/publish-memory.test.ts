// What was published where, over restarts.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { runFolder } from '../../../test/rig/process.ts';
import { openPublishMemory } from './publish-memory.ts';

const published = { places: [{ zone: 'app.test', specification: 'shop', agreed: { generation: 2, digest: 'd' }, names: ['shop.app.test.'] }], change: { digest: 'd', key: 'k', answeredAtMs: 7 } };
const nothing = { places: [], change: null };
const open = (folder: string, problems: string[] = []) => openPublishMemory(folder, (problem) => problems.push(problem));

test('what was saved is there after a restart, each target for itself', async (t) => {
  const folder = runFolder('publish-memory');
  open(folder).save('ns1', published);
  open(folder).save('ns2', { ...published, places: [] });
  const memory = open(folder);
  t.same(memory.of('ns1'), published);
  t.same(memory.of('ns2'), { ...published, places: [] });
  t.same(memory.of('ns3'), nothing);
});

test('a server may be called as it pleases', async (t) => {
  const folder = runFolder('publish-memory-names');
  t.same(open(folder).of('constructor'), nothing);
  open(folder).save('constructor', published);
  t.same(open(folder).of('constructor'), published);
});

test('a file that cannot be used is told, and taken for none', async (t) => {
  const folder = runFolder('publish-memory-damaged');
  for (const text of ['{', '{"ns1":{"places":1}}', '[]']) {
    writeFileSync(join(folder, 'publication.json'), text);
    const problems: string[] = [];
    t.same(open(folder, problems).of('ns1'), nothing, text);
    t.match(problems, [/publication\.json/], text);
  }
});
