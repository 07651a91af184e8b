// Reading the configuration in a process of its own: what comes back, and what is said when nothing does.

import { test } from 'tap';
import { readConfig } from './read-config.ts';

test('what is in it comes back, also its problems', async (t) => {
  t.match(await readConfig('listen: 127.0.0.1:9188\nclusters: []\n'), { ok: true, config: { listen: { host: '127.0.0.1', port: 9188 }, clusters: [], intervalMs: 1_000 } });
  t.match(await readConfig('listen: nowhere\nclusters: []\n'), { ok: false, problems: [{ path: 'listen', line: 1 }] });
});

test('a process that ends without a word is no configuration, and no problem of the file either', async (t) => {
  t.match(await readConfig('clusters: []\n', '/nonexistent/reader.ts'), { ok: null, reason: /^CTM_CONFIG_UNREAD: .*(exit code 1|took nothing)/ });
});
