// Name servers that a Pool Domain Manager owns.

export * from './publisher.ts';
