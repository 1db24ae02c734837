/** `state`: the CMDQV of a Tegra241, in words. */

import { sizeTexts } from '../../replayer/cmdqv-words.ts';
import type { Json } from '../../replayer/json.ts';
import { type Out, paint } from './output.ts';

type JsonObject = { readonly [key: string]: Json };
const list = (value: Json | undefined): readonly JsonObject[] => (Array.isArray(value) ? (value as readonly JsonObject[]) : []);
const record = (value: Json | undefined): JsonObject =>
  value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as JsonObject) : {};

/** Commands that wait, of a queue. */
const MOST = 8;

/** `PROD_INDX 0x5 (WR 5) seen at event 83`; those that are 0 are left out but for `always`. */
function registersText(out: Out, lead: string, registers: JsonObject, always: ReadonlySet<string> = new Set()): void {
  const shown = Object.entries(registers)
    .map(([name, value]) => [name, record(value)] as const)
    .filter(([name, r]) => r.value !== '0x0' || always.has(name));
  const width = Math.max(...shown.map(([name]) => name.length));
  for (const [name, r] of shown) out.line(`${lead}${name.padEnd(width)} ${String(r.text)}`, paint('dim', `  ${howText(r)}`));
}

const howText = (r: JsonObject): string => `${String(r.by ?? r.from)}, event ${String(r.since)}`;
const known = (value: Json | undefined): string => (value === null || value === undefined ? '?' : String(value));
const CONTROL: ReadonlySet<string> = new Set(['CONS_INDX', 'PROD_INDX', 'CONFIG', 'STATUS', 'GERROR', 'GERRORN', 'BASE']);

function queueText(out: Out, name: string, q: JsonObject): void {
  const of = q.queue === null ? '' : `  HW_QUEUE ${String(q.queue)}`;
  const where = q.base === undefined ? '' : `  IOVA ${String(q.base)}, ${2 ** Number(q.log2size)} entries`;
  const on = q.enabled === null ? 'on or off is not known' : q.enabled === true ? 'on' : 'off';
  const pointers = `PROD ${known(q.prod)} CONS ${known(q.cons)}${q.used === null ? '' : ` (${String(q.used)} wait)`}`;
  out.line(
    '  ',
    paint('name', `${name}.LVCMDQ${String(q.index)}`),
    `${of}${where}  ${on}  ${pointers}`,
    q.done === undefined ? '' : `  ${String(q.done)} done`,
  );
  for (const t of list(q.troubles)) {
    const grave = t.kind !== 'pending' && t.kind !== 'no-sync';
    out.line('    ', paint(grave ? 'error' : 'changed', String(t.text).replace(/^[^:]*: /, '')));
  }
  registersText(out, '    ', record(q.registers), CONTROL);
  const pending = list(q.pending);
  for (const p of pending.slice(0, MOST))
    out.line(`    waits: entry ${String(p.index)}: ${p.text === null ? 'not known' : String(p.text)}`);
  if (Number(q.used) > MOST) out.line(`    waits: … ${Number(q.used) - MOST} more`);
}

/** VINTFs, queues, the registers that are known and how; nothing where there is no CMDQV. */
export function cmdqvText(out: Out, json: JsonObject): void {
  for (const v of list(json.cmdqv)) {
    const name = `VINTF${String(v.vintf)}`;
    out.line();
    const owner =
      v.viommu === null ? 'the kernel\u2019s own' : `VIOMMU ${String(v.viommu)} of context ${String(v.context)}, page 0 ${String(v.page0)}`;
    out.line(paint('heading', name), `  ${owner}`, v.inferred === true ? paint('dim', '  number inferred') : '');
    const sids = list(v.sids).map((x) => `${String(x.slot)}: VDEVICE ${known(x.vdevice)}`);
    if (sids.length > 0) out.line(`  stream ids  ${sids.join('  ')}`);
    registersText(out, '  ', record(v.registers));
    for (const q of list(v.lvcmdqs)) queueText(out, name, q);
  }
  const global = record(json.cmdqvGlobal);
  const size = sizeTexts(Object.fromEntries(Object.entries(record(global.size)).map(([key, value]) => [key, Number(value)])));
  const registers = record(global.registers);
  if (Object.keys(registers).length > 0 || list(global.guests).length > 0) {
    out.line();
    out.line(paint('heading', 'CMDQV'), `  ${size.join(', ')}`);
    registersText(out, '  ', registers);
  }
  for (const g of list(global.guests)) {
    out.line();
    const of = g.viommu === null ? '' : `, VIOMMU ${String(g.viommu)}`;
    out.line(
      paint('heading', `guest of VM file ${String(g.vm)}`),
      `  sees a CMDQV at ${String(g.window)}${of}; what it stored or loaded last:`,
    );
    registersText(out, '  ', record(g.registers));
  }
}
