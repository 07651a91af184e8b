// Which data directory a server's process is of, by its command line, which everybody may read: for where its working directory may not
// be read. A server that is taken for none would have its lock file removed and its directory replaced under it.

import { realpathSync } from 'node:fs';
import { basename, isAbsolute } from 'node:path';
import { viewProcess } from './proc.ts';
import type { ProcessView } from './proc.ts';

/** Whether a postmaster was started for this directory; null when its command line does not tell. */
export function namesDirectory({ commandLine }: ProcessView, directory: string): boolean | null {
  const words = commandLine.split('\0');
  const at = words.findIndex((word) => word.startsWith('-D'));
  const given = words[at] === '-D' ? words[at + 1] : words[at]?.slice('-D'.length);
  if (given === undefined || !isAbsolute(given)) return null;
  try {
    return realpathSync(given) === directory;
  } catch {
    return null;
  }
}

/** Whether this process may be of a server of this directory. */
export function mayServe(view: ProcessView, directory: string): boolean {
  const [program = ''] = view.commandLine.split('\0');
  if (!program.startsWith('postgres:')) return isPostmaster(program) && namesDirectory(view, directory) !== false;
  // A child says nothing of it; its postmaster does, as long as it lives.
  const parent = viewProcess(view.parent);
  return parent === null || !isPostmaster(parent.commandLine.split('\0')[0] ?? '') || mayServe(parent, directory);
}

const isPostmaster = (program: string): boolean => ['postgres', 'postmaster'].includes(basename(program));
