// All randomness of a run comes from one seeded generator, so that a seed is the whole run: sfc32 (Doty-Humphrey), 128 bits
// of state, integer operations only, the same on every machine and Node version.

export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #counter: number;

  constructor(seed: number, stream = 0) {
    this.#a = seed >>> 0;
    this.#b = Math.floor(seed / 2 ** 32) >>> 0;
    this.#c = stream >>> 0;
    this.#counter = 1;
    for (let round = 0; round < 15; round++) this.bits();
  }

  /** 32 uniform bits. */
  bits(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** Uniform in [0, 1). */
  unit(): number {
    return this.bits() / 2 ** 32;
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + (high - low) * this.unit();
  }

  /** Uniform integer in [low, high]. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.unit() * (high - low + 1));
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.unit() * list.length)] as T;
  }

  /** Log-uniform in [low, high): as many draws between 1 and 10 as between 10 and 100. */
  spread(low: number, high: number): number {
    return low * 2 ** (this.unit() * log2(high / low));
  }

  /** Waiting time of a memoryless process with this mean, cut off at eight means. */
  wait(meanMs: number): number {
    return Math.min(8, -log2(1 - this.unit()) * 0.6931471805599453) * meanMs;
  }

  /** A generator of its own for one purpose: draws of one part do not shift those of another. */
  fork(stream: number): Prng {
    return new Prng(this.bits() * 2 ** 20 + stream, stream);
  }
}

/**
 * Base-2 logarithm by its own arithmetic: `Math.log` may differ in the last bit between engine versions, and one bit is
 * another run. 2 ** x is exact enough to be rounded away by the clock's grain; this is not, so it is spelled out.
 */
function log2(value: number): number {
  let [exponent, rest] = [0, value];
  while (rest >= 2) {
    rest /= 2;
    exponent++;
  }
  while (rest < 1) {
    rest *= 2;
    exponent--;
  }
  let [result, bit] = [exponent, 0.5];
  for (let digit = 0; digit < 24; digit++) {
    rest *= rest;
    if (rest >= 2) {
      rest /= 2;
      result += bit;
    }
    bit /= 2;
  }
  return result;
}
