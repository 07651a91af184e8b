// The one answer that a round waits for, read as bytes: a single TXT record of a single string under the question's own name, with or
// without an empty EDNS record. The library's codec goes through every message bit by bit; between two rounds the processor has
// forgotten it, and reading an answer took nearly half as long as checking its signature. Whatever is not of exactly this shape is null
// here and takes the library's way, which alone says what is wrong with it; the fuzz holds both ways against each other.

const TRUNCATED_AND_CODE = 0x020f;
/** The name of the question again, TXT; the class IN follows. */
const NAME_AND_TYPE = 0xc00c_0010;
const CLASS_IN = 1;
/** Name, type, class, TTL, length of the data, length of the string. */
const RECORD_BYTES = 13;
const EDNS_BYTES = 11;
/** The root, and the type. What the record offers as size, in bytes 3 and 4, may be any. */
const EDNS_TYPE = 41;

/** The text of an answer to the question that ends at `end`; the header's identifier and the question were compared before. */
export function plainText(bytes: Buffer, end: number): string | null {
  const textAt = end + RECORD_BYTES;
  if (bytes.length < textAt || (bytes.readUInt16BE(2) & TRUNCATED_AND_CODE) !== 0) return null;
  const more = bytes.readUInt16BE(10);
  // One answer, no authority, perhaps one more record.
  if (bytes.readUInt32BE(6) !== 0x0001_0000 || more > 1) return null;
  if (bytes.readUInt32BE(end) !== NAME_AND_TYPE || bytes.readUInt16BE(end + 4) !== CLASS_IN) return null;
  const length = bytes.readUInt8(textAt - 1);
  const restAt = textAt + length;
  if (bytes.readUInt16BE(textAt - 3) !== length + 1) return null;
  if (more === 1 ? !isEmptyEdns(bytes, restAt) : bytes.length !== restAt) return null;
  return bytes.toString('utf8', textAt, restAt);
}

/** Version 0, response code and flags 0, no options, and nothing after it. */
function isEmptyEdns(bytes: Buffer, at: number): boolean {
  if (bytes.length !== at + EDNS_BYTES || bytes.readUInt8(at) !== 0 || bytes.readUInt16BE(at + 1) !== EDNS_TYPE) return false;
  return bytes.readUInt32BE(at + 5) === 0 && bytes.readUInt16BE(at + 9) === 0;
}
