/** Bytes of a traced program as printable text. Nothing that comes out of here can act on a terminal. */

const SHORT: Readonly<Record<string, string>> = { '"': '\\"', '\\': '\\\\', '\n': '\\n', '\t': '\\t', '\r': '\\r' };

/**
 * Characters that a terminal obeys, or that show something else than what is there: controls (C0, DEL, C1), line and
 * paragraph separators, direction marks and overrides, invisible joiners and tags, byte-order mark, lone surrogates.
 */
const UNSAFE = String.raw`\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}`;
const UNSAFE_CHARACTER = new RegExp(`[${UNSAFE}]`, 'gu');
const QUOTED_CHARACTER = new RegExp(`[${UNSAFE}"\\\\]`, 'gu');

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();
const byteText = (byte: number): string => `\\x${byte.toString(16).padStart(2, '0')}`;

/** Unsafe characters as escapes (`\x1b`, `\u{202e}`), the rest as it is; for text whose quoting is somebody else's matter. */
export function escapeText(text: string): string {
  return text.replace(UNSAFE_CHARACTER, (c) => {
    const code = c.codePointAt(0)!;
    return code < 0x100 ? byteText(code) : `\\u{${code.toString(16)}}`;
  });
}

/** Bytes as a quoted string: `"/dev/iommu"`. Valid UTF-8 stays readable; every other byte is `\xNN`, so no byte is lost. */
export function quoteText(bytes: Uint8Array): string {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    return `"${Array.from(bytes, (b) => (b < 0x20 || b > 0x7e ? (SHORT[String.fromCharCode(b)] ?? byteText(b)) : quoteAscii(b))).join('')}"`;
  }
  return `"${text.replace(QUOTED_CHARACTER, (c) => SHORT[c] ?? Array.from(encoder.encode(c), byteText).join(''))}"`;
}

const quoteAscii = (byte: number): string => {
  const c = String.fromCharCode(byte);
  return SHORT[c] ?? c;
};

/** Bytes as `bytes:1c000000`, at most `most` of them: `bytes:1c00…+4094`. */
export function bytesText(bytes: Uint8Array, most: number): string {
  const shown = bytes.subarray(0, Math.min(bytes.length, most));
  let text = 'bytes:';
  for (const b of shown) text += b.toString(16).padStart(2, '0');
  return shown.length === bytes.length ? text : `${text}…+${bytes.length - shown.length}`;
}
