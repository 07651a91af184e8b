// Both clocks of this machine, read together. The only place of this daemon that reads a clock.

import type { Now } from '@continuum/core';
import { monoMs, wallMs } from '@continuum/core';

export type Clock = () => Now;

export const systemClock: Clock = () => ({ monoMs: monoMs(performance.now()), wallMs: wallMs(Date.now()) });
