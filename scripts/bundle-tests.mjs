// Makes files that import the tests of a room each into one file without imports, in its place. Stryker runs it in its copy
// of packages/core: the process for a mutant then reads one file, whose compiled form Node keeps, where tap alone is some 300.
//
//   bundle-tests.mjs PATH FILE...   the tests whose path below src begins so come first: those beside what is mutated

import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const [first = '', ...entryPoints] = process.argv.slice(2);
const own = [`/src/${first}.`, `/src/${first}-`];

/** @type {import('esbuild').Plugin} */
const ownTestsFirst = {
  name: 'own-tests-first',
  setup({ onLoad }) {
    onLoad({ filter: /\.mjs$/ }, ({ path }) => {
      if (!entryPoints.some((entry) => path.endsWith(entry))) return null;
      const [failing, ...tests] = readFileSync(path, 'utf8').split('\n');
      const isOwn = (/** @type {string} */ line) => own.some((start) => line.includes(start));
      return { contents: [failing, ...tests.filter(isOwn), ...tests.filter((line) => !isOwn(line))].join('\n') };
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
