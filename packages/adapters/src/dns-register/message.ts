// The few DNS messages that the register needs, as bytes: a question for one TXT record set and a dynamic update of one
// (RFC 2136). Bytes in, values out, no sockets. A library was looked for: none on npm can write a signed update.
//
// Names are written uncompressed and in lower case; compressed names are read with bounds, because the other end is trusted
// only after its signature was checked, and that needs the message to be walked first.

export const TYPE = { SOA: 6, TXT: 16, TSIG: 250 } as const;
export const CLASS = { IN: 1, NONE: 254, ANY: 255 } as const;
export const OPCODE = { QUERY: 0, UPDATE: 5 } as const;
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, YXRRSET: 7, NXRRSET: 8, NOTAUTH: 9, NOTZONE: 10 } as const;

export const MESSAGE_BYTES_MAX = 65_535;

const HEADER_BYTES = 12;
const TEXT_BYTES_MAX = 255;
const LABEL_BYTES_MAX = 63;
const NAME_BYTES_MAX = 255;
const POINTER = 0xc0;
const RECORDS_MAX = 256;

export type ResourceRecord = {
  /** Lower case, with the final dot. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttlSeconds: number;
  readonly data: Uint8Array;
  /** Where the record begins in its message. */
  readonly offset: number;
};

export type Message = {
  readonly id: number;
  readonly response: boolean;
  readonly opcode: number;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly rcode: number;
  readonly questions: readonly { readonly name: string; readonly type: number; readonly class: number }[];
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
  readonly additionals: readonly ResourceRecord[];
};

/** The bytes are not a DNS message of the kind that is read here. */
export class MessageError extends Error {
  readonly code = 'CTM_DNS_MESSAGE_INVALID';
  constructor(detail: string) {
    super(detail);
    this.name = 'MessageError';
  }
}

/** A question for the TXT record set of `name`, to the authority itself: recursion is not asked for. */
export function encodeTextQuestion(id: number, name: string): Uint8Array {
  const header = encodeHeader(id, OPCODE.QUERY, [1, 0, 0, 0]);
  return concat([header, encodeName(name), u16(TYPE.TXT), u16(CLASS.IN)]);
}

export type TextUpdate = {
  readonly id: number;
  readonly zone: string;
  readonly name: string;
  /** The whole record set as it must be at this moment, or null when there must be none: else nothing is written. */
  readonly expected: string | null;
  readonly next: string;
  readonly ttlSeconds: number;
};

/**
 * Compare-and-set of a TXT record set of one record: a prerequisite on its whole value (RFC 2136, 2.4.2) or on its absence
 * (2.4.3), delete it, add the next one. The answer is NXRRSET or YXRRSET when the prerequisite does not hold.
 */
export function encodeTextUpdate(update: TextUpdate): Uint8Array {
  const name = encodeName(update.name);
  const nothing = new Uint8Array(0);
  const prerequisite =
    update.expected === null ? encodeRecord(name, CLASS.NONE, 0, nothing) : encodeRecord(name, CLASS.IN, 0, encodeText(update.expected));
  const removal = encodeRecord(name, CLASS.ANY, 0, nothing);
  const addition = encodeRecord(name, CLASS.IN, update.ttlSeconds, encodeText(update.next));
  const header = encodeHeader(update.id, OPCODE.UPDATE, [1, 1, 2, 0]);
  const zone = concat([encodeName(update.zone), u16(TYPE.SOA), u16(CLASS.IN)]);
  const message = concat([header, zone, prerequisite, removal, addition]);
  if (message.length > MESSAGE_BYTES_MAX) throw new RangeError(`an update of ${message.length} bytes`);
  return message;
}

/** Walks a whole message. Throws `MessageError` for anything that is cut short, runs over, or points anywhere but back. */
export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new Reader(bytes);
  const [id, flags] = [reader.u16(), reader.u16()];
  const counts = [reader.u16(), reader.u16(), reader.u16(), reader.u16()] as const;
  if (counts.some((count) => count > RECORDS_MAX)) throw new MessageError(`more than ${RECORDS_MAX} records`);
  const [questionCount, answerCount, authorityCount, additionalCount] = counts;
  const questions = times(questionCount, () => ({ name: reader.name(), type: reader.u16(), class: reader.u16() }));
  const answers = times(answerCount, () => reader.record());
  const authorities = times(authorityCount, () => reader.record());
  const additionals = times(additionalCount, () => reader.record());
  if (reader.offset !== bytes.length) throw new MessageError(`${bytes.length - reader.offset} bytes after its end`);
  return {
    id,
    response: (flags & 0x8000) !== 0,
    opcode: (flags >> 11) & 0xf,
    authoritative: (flags & 0x0400) !== 0,
    truncated: (flags & 0x0200) !== 0,
    rcode: flags & 0xf,
    questions,
    answers,
    authorities,
    additionals,
  };
}

/** The character strings of a TXT record, joined; they hold ASCII only. Throws `MessageError` for anything else. */
export function decodeText(data: Uint8Array): string {
  let text = '';
  for (let offset = 0; offset < data.length; ) {
    const length = data[offset] ?? 0;
    const end = offset + 1 + length;
    if (end > data.length) throw new MessageError('a character string runs over its record');
    for (const byte of data.subarray(offset + 1, end)) {
      if (byte < 0x20 || byte > 0x7e) throw new MessageError(`a byte ${byte} in a text`);
      text += String.fromCharCode(byte);
    }
    offset = end;
  }
  return text;
}

/** A name in wire form, lower case. Throws `RangeError` for one that cannot be: names here were checked before. */
export function encodeName(name: string): Uint8Array {
  const labels = name.toLowerCase().replace(/\.$/, '').split('.').filter((label) => label !== '');
  const parts = labels.map((label) => {
    const bytes = ascii(label);
    if (bytes.length > LABEL_BYTES_MAX) throw new RangeError(`label ${label.slice(0, 20)}... has ${bytes.length} bytes`);
    return concat([Uint8Array.of(bytes.length), bytes]);
  });
  const wire = concat([...parts, Uint8Array.of(0)]);
  if (wire.length > NAME_BYTES_MAX) throw new RangeError(`a name of ${wire.length} bytes`);
  return wire;
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

export const u16 = (value: number): Uint8Array => Uint8Array.of((value >> 8) & 0xff, value & 0xff);
export const u32 = (value: number): Uint8Array =>
  Uint8Array.of((value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);

export class Reader {
  readonly bytes: Uint8Array;
  offset: number;

  constructor(bytes: Uint8Array, offset = 0) {
    this.bytes = bytes;
    this.offset = offset;
  }

  u8(): number {
    const byte = this.bytes[this.offset];
    if (byte === undefined) throw new MessageError('it is cut short');
    this.offset += 1;
    return byte;
  }
  u16(): number {
    return this.u8() * 0x100 + this.u8();
  }
  u32(): number {
    return this.u16() * 0x1_0000 + this.u16();
  }
  take(length: number): Uint8Array {
    const end = this.offset + length;
    if (end > this.bytes.length) throw new MessageError('it is cut short');
    const taken = this.bytes.subarray(this.offset, end);
    this.offset = end;
    return taken;
  }

  /** Every pointer must go further back than the one before it, so that reading ends. */
  name(): string {
    const labels: string[] = [];
    let [at, lowest, bytes] = [this.offset, this.offset, 0];
    let after: number | null = null;
    for (;;) {
      const length = this.bytes[at];
      if (length === undefined) throw new MessageError('a name is cut short');
      if ((length & POINTER) === POINTER) {
        const target = ((length & 0x3f) << 8) | (this.bytes[at + 1] ?? 0);
        if (target >= lowest) throw new MessageError('a name points ahead, or at itself');
        after ??= at + 2;
        lowest = at = target;
        continue;
      }
      if (length > LABEL_BYTES_MAX) throw new MessageError(`a label of kind ${length >> 6}`);
      bytes += length + 1;
      if (bytes > NAME_BYTES_MAX) throw new MessageError('a name is too long');
      if (length === 0) break;
      if (at + 1 + length > this.bytes.length) throw new MessageError('a name is cut short');
      labels.push(labelText(this.bytes.subarray(at + 1, at + 1 + length)));
      at += 1 + length;
    }
    this.offset = after ?? at + 1;
    return `${labels.join('.')}.`;
  }

  record(): ResourceRecord {
    const { offset } = this;
    const name = this.name();
    const [type, recordClass, ttlSeconds, length] = [this.u16(), this.u16(), this.u32(), this.u16()];
    return { name, type, class: recordClass, ttlSeconds, data: this.take(length), offset };
  }
}

function labelText(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    // A dot inside a label would make two names look alike.
    if (byte <= 0x20 || byte > 0x7e || byte === 0x2e) throw new MessageError(`a byte ${byte} in a name`);
    text += String.fromCharCode(byte).toLowerCase();
  }
  return text;
}

function encodeHeader(id: number, opcode: number, counts: readonly [number, number, number, number]): Uint8Array {
  const header = concat([u16(id), u16(opcode << 11), ...counts.map(u16)]);
  if (header.length !== HEADER_BYTES) throw new RangeError(`a header of ${header.length} bytes`);
  return header;
}

function encodeRecord(name: Uint8Array, recordClass: number, ttlSeconds: number, data: Uint8Array): Uint8Array {
  return concat([name, u16(TYPE.TXT), u16(recordClass), u32(ttlSeconds), u16(data.length), data]);
}

function encodeText(text: string): Uint8Array {
  const bytes = ascii(text);
  const count = Math.max(1, Math.ceil(bytes.length / TEXT_BYTES_MAX));
  const strings = times(count, (index) => bytes.subarray(index * TEXT_BYTES_MAX, (index + 1) * TEXT_BYTES_MAX));
  return concat(strings.flatMap((string) => [Uint8Array.of(string.length), string]));
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => {
    const code = character.charCodeAt(0);
    if (character.length !== 1 || code > 0x7e || code < 0x20) throw new RangeError('only printable ASCII can be sent');
    return code;
  });
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}
