/** An event as bytes. Pure. */
import type { EventLike } from '../../hw/event-text.ts';
import { hexDump } from '../cli/hex.ts';
import { clean, type Line, line, span } from '../term/text.ts';

/** Parts that are longer are shown from their beginning. */
const BYTES_MOST = 16_384;

export function hexLines(event: EventLike): Line[] {
  const parts = event.parts.map((p) => (p.bytes.length > BYTES_MOST ? { ...p, bytes: p.bytes.subarray(0, BYTES_MOST) } : p));
  if (parts.length === 0) return [line(span(' the event has no bytes but its header', 'dim'))];
  return hexDump(parts).map((text) => (text.startsWith(' ') ? hexLine(clean(text)) : line(' ', span(clean(text), 'strong'))));
}

/** Bytes that the kernel changed are marked `*`; colour says it once more. */
function hexLine(text: string): Line {
  return line(...text.split(/(\*[0-9a-f]{2})/).map((piece) => (piece.startsWith('*') ? span(piece, 'changed') : span(piece))));
}
