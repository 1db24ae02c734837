/** A step as text, with symbols where numbers were: `ioctl(iommufd1, IOMMU_IOAS_ALLOC, {} => {out_ioas_id=ioas1}) = 0`. */
import { eventText, type TextStyle } from '../../hw/event-text.ts';
import type { UapiTable } from '../../hw/uapi/table.ts';
import { FrameCursor } from '../../store/frame.ts';
import type { Program, Step, Use } from './program.ts';
import { put, repeats } from './values.ts';

/** Numbers in the place of symbols while the line is printed. No id, descriptor or address is like them. */
const MARK = { 4: 1_900_000_000n, 8: 0x5a5a_5a5a_0000_0000n } as const;

/** What a number is called: `mem1+0x1000`; with `<ended>` where it stood for nothing any more, `999<nothing>` where it never did. */
export function symbolText(program: Program, use: Pick<Use, 'symbol' | 'addend' | 'ended'>): string {
  const s = program.symbols[use.symbol];
  if (s === undefined) return '?';
  if (s.sort === 'nothing') return `${s.recorded}<nothing>`;
  const { addend } = use;
  const from = addend === 0n ? '' : addend > 0n ? `+0x${addend.toString(16)}` : `-0x${(-addend).toString(16)}`;
  return `${s.name}${from}${use.ended ? '<ended>' : ''}`;
}

/** The call and what was answered in the recording, printable; without number, time and thread. `style` as `show` has them. */
export function stepText(program: Program, step: Step, table: UapiTable, style: TextStyle = 'abbrev'): string {
  const frame = Buffer.from(step.frame);
  const names = new Map<bigint, string>();
  const marks = new Map<string, bigint>();
  const mark = (at: number, width: 1 | 2 | 4 | 8, name: string): void => {
    if (width < 4) return;
    const key = `${width} ${name}`;
    let value = marks.get(key);
    if (value === undefined) {
      value = MARK[width as 4 | 8] + BigInt(marks.size);
      marks.set(key, value);
      names.set(value, name);
    }
    put(frame, { at, width }, value);
  };
  for (const { use, at } of repeats(step)) mark(at, use.width, symbolText(program, use));
  for (const u of [...step.uses, ...step.echoes]) mark(u.at, u.width, symbolText(program, u));
  for (const d of step.defines) mark(d.at, d.width, symbolText(program, { symbol: d.symbol, addend: 0n, ended: false }));
  const event = new FrameCursor().at(frame, 0).frame();
  const { call, result } = eventText(event, { table, style, start: 0n });
  const line = result === '' ? call : `${call} ${result}`;
  return line.replace(/\b(?:0x[0-9a-f]{1,16}|\d{1,20})\b/g, (n) => names.get(BigInt(n)) ?? n);
}
