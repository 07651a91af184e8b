// Makes each of the files named on the command line, which import the tests of a room, into one file without imports, in
// its place. Stryker runs it in its copy of packages/core: the process for a mutant then reads one file, whose compiled
// form Node keeps, where tap alone is some 300.

import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

/** A test that reads a file beside it still finds it. @type {import('esbuild').Plugin} */
const ownPlaces = {
  name: 'own-places',
  setup({ onLoad }) {
    onLoad({ filter: /\.test\.ts$/ }, ({ path }) => {
      const source = readFileSync(path, 'utf8');
      return { contents: source.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href)), loader: 'ts' };
    });
  },
};

await build({
  entryPoints: process.argv.slice(2),
  outdir: '.',
  outbase: '.',
  outExtension: { '.js': '.mjs' },
  allowOverwrite: true,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  plugins: [ownPlaces],
  // What tap brings along as CommonJS calls it.
  banner: { js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);" },
  logLevel: 'warning',
});
