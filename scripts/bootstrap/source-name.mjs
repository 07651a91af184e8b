// Where a part comes from, in words and as a key: what a user is told, and what makes the cache unpack anew.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from './cache.mjs';

/**
 * `label` names the folder in the cache; `content` is all that decides what is in it; `text` is for people.
 * @param {import('../parts.d.mts').Part} part
 * @returns {{ label: string, content: unknown, text: string }}
 */
export function nameSource({ name, source }) {
  switch (source.kind) {
    case 'debian': {
      const { alternatives, release } = source;
      const firsts = alternatives.map(([first]) => first);
      const [label, text] = [firsts[0] ?? name, firsts.join(' or ')];
      if (release === undefined) return { label, content: alternatives, text: `Debian or Ubuntu package ${text}` };
      return { label: `${label}-${release.name}`, content: [alternatives, release], text: `package ${text} of Debian ${release.name}` };
    }
    case 'wheel':
      return { label: source.requirement.replaceAll('==', '-'), content: [source.requirement, source.sha256], text: `PyPI package ${source.requirement}` };
    case 'npm':
      return { label: name, content: [packageName(source), pinnedVersion(source)], text: `npm package ${packageName(source)}` };
  }
}

/** @param {import('../parts.d.mts').NpmSource} source */
export function packageName({ scope }) {
  return `${scope}/linux-${process.arch}`;
}

/**
 * As package.json pins it; null when it names none for this kind of machine.
 * @param {import('../parts.d.mts').NpmSource} source
 * @returns {string | null}
 */
function pinnedVersion(source) {
  const { optionalDependencies = {} } = JSON.parse(readFileSync(join(PROJECT_ROOT, 'package.json'), 'utf8'));
  return optionalDependencies[packageName(source)] ?? null;
}
