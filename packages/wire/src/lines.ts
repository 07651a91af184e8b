// Splits a stream into lines without ever keeping more than one line's worth: a peer that never sends a line feed must not
// fill our memory. Sans-IO: text in, lines out; the socket is elsewhere.

export type Lines = { readonly ok: true; readonly lines: readonly string[] } | { readonly ok: false };

/** Feed it decoded text. `ok: false`: a line was longer than `lengthMax` characters; the stream is of no use any more. */
export function lineSplitter(lengthMax: number): (chunk: string) => Lines {
  let rest = '';
  return (chunk) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > lengthMax || lines.some((line) => line.length > lengthMax)) {
      rest = '';
      return { ok: false };
    }
    return { ok: true, lines };
  };
}
