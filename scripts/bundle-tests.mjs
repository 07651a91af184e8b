// Makes files that import the tests of a room each into one file without imports, in its place. Stryker runs it in its copy
// of packages/core: the process for a mutant then reads one file, whose compiled form Node keeps, where tap alone is some 300.
//
//   bundle-tests.mjs PATHS FILE...   tests whose path below src begins with one of these (with commas between) come first:
//                                    those beside what is mutated

import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const [first = '', ...entryPoints] = process.argv.slice(2);
const own = first.split(',').flatMap((path) => [`/src/${path}.`, `/src/${path}-`]);

/** @type {import('esbuild').Plugin} */
const ownTestsFirst = {
  name: 'own-tests-first',
  setup({ onLoad }) {
    onLoad({ filter: /\.mjs$/ }, ({ path }) => {
      if (!entryPoints.some((entry) => path.endsWith(entry))) return null;
      // What is no test stays before all of them.
      const rank = (/** @type {string} */ line) => (!line.includes('.test.ts') ? 0 : own.some((start) => line.includes(start)) ? 1 : 2);
      const lines = readFileSync(path, 'utf8').split('\n');
      return { contents: lines.toSorted((a, b) => rank(a) - rank(b)).join('\n') };
    });
  },
};

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
  entryPoints,
  outdir: '.',
  outbase: '.',
  outExtension: { '.js': '.mjs' },
  allowOverwrite: true,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  plugins: [ownTestsFirst, ownPlaces],
  // What tap brings along as CommonJS calls it.
  banner: { js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);" },
  logLevel: 'warning',
});
