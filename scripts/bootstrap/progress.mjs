// What the user sees while something is set up: on a terminal one line that changes, elsewhere one line per step.
// Always on stderr, so that a task's own output can be piped.

const SPINNER_MS = 120;
const FRAMES = ['-', '\\', '|', '/'];

/**
 * @typedef {{
 *   readonly step: (text: string) => void,
 *   readonly note: (text: string) => void,
 *   readonly end: () => void,
 * }} Progress
 */

/**
 * @param {NodeJS.WriteStream} [stream]
 * @returns {Progress}
 */
export function createProgress(stream = process.stderr) {
  const live = stream.isTTY === true && process.env['CI'] === undefined;
  let current = '';
  let startedMs = 0;
  let frame = 0;
  /** @type {NodeJS.Timeout | undefined} */
  let timer;

  const seconds = () => ((performance.now() - startedMs) / 1000).toFixed(1);
  const draw = () => {
    const line = `${FRAMES[frame++ % FRAMES.length]} ${current} (${seconds()} s)`;
    stream.write(`\r\x1b[K${line.slice(0, Math.max(20, (stream.columns ?? 80) - 1))}`);
  };
  const finish = () => {
    if (current === '') return;
    clearInterval(timer);
    timer = undefined;
    stream.write(live ? `\r\x1b[K+ ${current} (${seconds()} s)\n` : `setup: ${current}: done in ${seconds()} s\n`);
    current = '';
  };
  return {
    step: (text) => {
      finish();
      current = text;
      startedMs = performance.now();
      if (live) {
        draw();
        timer = setInterval(draw, SPINNER_MS);
        timer.unref();
      } else stream.write(`setup: ${text} ...\n`);
    },
    note: (text) => stream.write(live ? `\r\x1b[K  ${text}\n` : `setup: ${text}\n`),
    end: finish,
  };
}
