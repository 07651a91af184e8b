// The child of read-config.ts: reads one configuration, says what is in it, and ends.

import { parseConfig } from './config.ts';

process.once('message', (text) => {
  process.send?.(parseConfig(String(text)), () => process.disconnect());
});
