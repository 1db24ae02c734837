/** Bytes of an event as hexadecimal, 16 in a line, with the printable ones beside them. */
import type { PartLike } from '../../hw/event-text.ts';

const NAMES: Readonly<Record<number, string>> = { 1: 'in', 2: 'out', 3: 'nested in', 4: 'nested out', 5: 'args', 6: 'text' };

/** Lines of all parts: `in @0x7ffc… 40 bytes`, then `  0000  28 00 …  |(…|`. Bytes of `out` that differ from `in` are marked `*`. */
export function hexDump(parts: readonly PartLike[]): string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const slot = part.slot === 0 ? '' : ` at field ${part.slot}`;
    const place = part.address === 0n ? '' : `, memory 0x${part.address.toString(16)}`;
    const missing = part.wanted === BigInt(part.bytes.length) ? '' : ` of ${part.wanted}`;
    lines.push(`${NAMES[part.kind] ?? `part ${part.kind}`}${slot}: ${part.bytes.length}${missing} bytes${place}`);
    const before =
      part.kind === 2
        ? parts.find((p) => p.kind === 1)
        : part.kind === 4
          ? parts.find((p) => p.kind === 3 && p.slot === part.slot)
          : undefined;
    for (let at = 0; at < part.bytes.length; at += 16) lines.push(hexLine(part.bytes, at, before?.bytes));
  }
  return lines;
}

function hexLine(bytes: Uint8Array, at: number, before: Uint8Array | undefined): string {
  let [hex, text] = ['', ''];
  for (let i = at; i < at + 16; i++) {
    const byte = bytes[i];
    if (i % 8 === 0) hex += ' ';
    if (byte === undefined) {
      hex += '   ';
      continue;
    }
    const changed = before !== undefined && before[i] !== byte;
    hex += `${changed ? '*' : ' '}${byte.toString(16).padStart(2, '0')}`;
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.';
  }
  return `  ${at.toString(16).padStart(4, '0')} ${hex}  |${text}|`;
}
