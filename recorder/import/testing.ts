/** For tests of the importers: what a parser says of a text, and an import into a folder of the test's own. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Frame, FrameCursor, Kind, MMIO_SOURCE_SHIFT, MmioHow, makeFrame, PartKind } from '../../store/frame.ts';
import { TraceReader } from '../../store/read.ts';
import { AccessFrame } from './access-frame.ts';
import type { Format, LogEvent, ParseOptions, Sink } from './format.ts';
import { type ImportOptions, type ImportResult, importLog } from './import.ts';
import { Lines } from './lines.ts';

export interface Parsed {
  readonly events: LogEvent[];
  readonly foreign: Record<string, number>;
  readonly lost: { events: number; words: string; time: bigint | undefined }[];
}

export function parse(format: Format, text: string | Buffer, options: Partial<ParseOptions> = {}): Parsed {
  const parsed: Parsed = { events: [], foreign: {}, lost: [] };
  const sink: Sink = {
    event: (e) => void parsed.events.push(e),
    foreign: (what) => {
      parsed.foreign[what] = (parsed.foreign[what] ?? 0) + 1;
    },
    lost: (events, words, time) => void parsed.lost.push({ events, words, time }),
  };
  const parser = format.parser(sink, { processOf: () => undefined, regions: [], ...options });
  const lines = new Lines(format.lineLimit, {
    line: (line, whole) => parser.line(line, whole),
    tooLong: () => sink.foreign('too long'),
  });
  lines.take(Buffer.from(text));
  lines.end();
  parser.end();
  return parsed;
}

/** What a frame says, in one line: `R 4 0xc000000008 = 0x10400`, `W 2 …`, `region 0xc0+0x10@0xff`. */
export function say(frame: Frame): string {
  const word = (i: number): bigint => wordOf(frame, i);
  const hex = (n: bigint): string => `0x${n.toString(16)}`;
  if (frame.kind === Kind.REGION) return `region ${frame.request} ${hex(word(0))}+${hex(word(1))}@${hex(word(2))} ${textOf(frame, 0)}`;
  if (frame.kind === Kind.GAP) return `gap ${frame.ret} ${textOf(frame, 0)}`;
  if (frame.kind !== Kind.MMIO) return `kind ${frame.kind}`;
  const how = frame.request & ((1 << MMIO_SOURCE_SHIFT) - 1);
  const letter = how === MmioHow.LOAD ? 'R' : how === MmioHow.STORE ? 'W' : 'B';
  return `${letter} ${word(2)} ${hex(word(0))} = ${word(4) & 1n ? '?' : hex(BigInt.asUintN(64, frame.ret))}`;
}

export function wordOf(frame: Frame, i: number): bigint {
  const args = frame.parts.find((p) => p.kind === PartKind.ARGS)?.bytes;
  if (args === undefined || args.length < 8 * i + 8) return 0n;
  return new DataView(args.buffer, args.byteOffset, args.byteLength).getBigUint64(8 * i, true);
}

export function textOf(frame: Frame, slot: number): string {
  const part = frame.parts.find((p) => p.kind === PartKind.TEXT && p.slot === slot);
  return part === undefined ? '' : Buffer.from(part.bytes).toString('utf8');
}

/** The frame of an event that is one. */
export function frameOf(e: LogEvent): Frame {
  if (e.access !== undefined) return new FrameCursor().at(new AccessFrame().write(e.access, e.time, e.exit), 0).frame();
  return makeFrame(e.frame!);
}

export const sayAll = (events: readonly LogEvent[]): string[] =>
  events.map((e) => `${e.time} ${e.note === undefined ? say(frameOf(e)) : `note ${e.note}`}`);

export const tempFolder = (): string => mkdtempSync(join(tmpdir(), 'irr-import-'));

/** Imports a text (or a file, where it begins with `/`) and gives the frames of the trace. */
export function imported(
  folder: string,
  format: Format,
  log: string,
  options: Partial<ImportOptions> = {},
): { result: ImportResult; frames: Frame[]; path: string } {
  const input = log.startsWith('/') ? log : join(folder, 'log.txt');
  if (!log.startsWith('/')) writeFileSync(input, log);
  const path = join(folder, 'out.irr');
  const result = importLog({ format, input, output: path, force: true, tool: 'test', regions: [], ...options });
  return { result, frames: framesOf(path), path };
}

export function framesOf(path: string): Frame[] {
  const reader = TraceReader.open(path);
  const frames: Frame[] = [];
  for (let seq = 1; seq <= reader.last; seq++) frames.push(reader.frame(seq)!);
  reader.close();
  return frames;
}
