// Which versions of a real part are accepted. Debian, PyPI and the parts' own `--version` texts do not speak semver
// ("15.18 (Debian 15.18-0+deb12u1)", "16beta1"), so only the leading dotted numbers count here.

const COMPARATOR = /^(>=|<=|>|<|=)(\d+(?:\.\d+)*)$/;
const VERSION = /^(\d+(?:\.\d+)*)/;

/**
 * @typedef {{ readonly operator: string, readonly version: readonly number[] }} Comparator
 */

/**
 * Every comparator of a range such as `>=4.7 <5.1`; all must hold. `*` accepts anything.
 * @param {string} range
 * @returns {Comparator[]}
 */
export function parseRange(range) {
  const words = range.trim().split(/\s+/);
  if (words.length === 1 && words[0] === '*') return [];
  return words.map((word) => {
    const match = COMPARATOR.exec(word);
    if (match === null || match[1] === undefined || match[2] === undefined) {
      throw new Error(`version range "${range}": "${word}" is not one of >=N.N <=N.N >N.N <N.N =N.N or *`);
    }
    return { operator: match[1], version: numbers(match[2]) };
  });
}

/**
 * @param {string} version
 * @param {string} range
 */
export function satisfies(version, range) {
  const comparators = parseRange(range);
  if (comparators.length === 0) return true;
  const match = VERSION.exec(version);
  if (match === null || match[1] === undefined) return false;
  const actual = numbers(match[1]);
  return comparators.every(({ operator, version: limit }) => holds(compareVersions(actual, limit), operator));
}

/**
 * Negative, zero or positive; missing places count as 0, so 15 equals 15.0.
 * @param {readonly number[]} a
 * @param {readonly number[]} b
 */
export function compareVersions(a, b) {
  for (let place = 0; place < Math.max(a.length, b.length); place++) {
    const difference = (a[place] ?? 0) - (b[place] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** @param {string} dotted */
export function numbers(dotted) {
  return dotted.split('.').map(Number);
}

/**
 * @param {number} order
 * @param {string} operator
 */
function holds(order, operator) {
  switch (operator) {
    case '>=':
      return order >= 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '<':
      return order < 0;
    default:
      return order === 0;
  }
}
