/**
 * A call as text and as JSON. The text:
 *
 *     call    = name [", " arg [" => " after]]
 *     name    = constant of the ioctl, or its number: 0x3bff
 *     arg     = struct | value | "?" (not recorded)
 *     after   = struct with what the kernel wrote | "?" (not recorded); absent: nothing differs
 *     struct  = "{" [name "=" value {" " name "=" value}] "}"
 *     value   = number | constant | constant{"|"constant}["|0x" rest] | "[" [value {", " value}] "]" | struct
 *             | "bytes:" hex | "bits:" ranges "/" bits | string in double quotes | [address] struct or bytes or bits or array
 *
 * What is not named is zero, in `after` as it was; `size` and `argsz` are the struct's. So these are left out: reserved and
 * later fields that are 0, flags that are 0, a length that is the struct's. Fields of a union's arm stand without the arm:
 * `op` says which. `@20=bytes:ff` are bytes at offset 20 that belong to no field, `@bytes=12` how many were recorded when
 * the length says otherwise, `tail=bytes:…` what lies beyond the struct, `caps=[…]` the capabilities in the tail, again.
 *
 * Abbreviated, long arrays and buffers end in `…`, a pointer whose target is shown stands without its address, and what the
 * caller left in an output field is not shown; `full` has all of it, and parse.ts reads it back. An id can carry its type: `pt_id=5<HWPT_PAGING>`,
 * words what they are to the hardware: `cmd=[0x12, 0x1000]<TLBI_NH_VA asid 0 va 0x1000>`; abbreviated, that stands alone.
 */

import { bitsText, bytesText, CUT, hexOf, type Json, numberJson, numberText, plainNumber, quote } from './scalar-text.ts';
import { REQUEST_TYPE, type UapiTable } from './table.ts';
import { type CallBytes, type CallView, viewCall } from './view.ts';
import { CAPABILITIES, type Item, type Level, type Meaning, type Node } from './view-struct.ts';

export type { CallBytes } from './view.ts';

/**
 * abbrev: short names, long things cut. full: short names, nothing cut. verbose: long names, nothing cut, and what is
 * implied too. raw: numbers and bytes alone.
 */
export type StyleName = 'abbrev' | 'full' | 'verbose' | 'raw';

export interface PrintStyle {
  readonly style: StyleName;
  /** what to write behind an id or fd in `<>`: the type of the object, say */
  readonly annotate?: (field: Meaning, value: number) => string | undefined;
}

interface Form {
  readonly table: UapiTable;
  readonly names: 'short' | 'long';
  readonly level: Level;
  readonly cut: boolean;
  readonly annotate: PrintStyle['annotate'];
}

function formOf(table: UapiTable, style: PrintStyle): Form {
  const { annotate } = style;
  switch (style.style) {
    case 'verbose':
      return { table, names: 'long', level: 2, cut: false, annotate };
    case 'full':
      return { table, names: 'short', level: 1, cut: false, annotate };
    default:
      return { table, names: 'short', level: 0, cut: true, annotate };
  }
}

/** An annotation comes from a trace: nothing in it may end the angle brackets or reach a terminal raw. */
const plain = (text: string): string => text.replace(/[^ -~]|[<>]/gu, (c) => `\\x${(c.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`);

function annotated(form: Form, value: number | bigint, field: Meaning, text: string): string {
  if (form.annotate === undefined || (field.ref === undefined && field.creates === undefined && field.fd === undefined)) return text;
  const note = form.annotate(field, Number(value));
  return note === undefined ? text : `${text}<${plain(note)}>`;
}

function nodeText(form: Form, node: Node): string {
  switch (node.kind) {
    case 'number': {
      const number = annotated(form, node.value, node.field, numberText(form.table, node.value, node.field, form.names));
      return node.text === undefined ? number : `${number}<${plain(node.text)}>`;
    }
    case 'array': {
      if (node.text !== undefined && form.cut) return `<${plain(node.text)}>`;
      const shown = form.cut ? node.items.slice(0, CUT.items) : node.items;
      const items = shown.map((n) => record(form, n) ?? nodeText(form, n));
      if (shown.length < node.items.length) items.push(`…+${node.items.length - shown.length}`);
      return `[${items.join(', ')}]${node.text === undefined ? '' : `<${plain(node.text)}>`}`;
    }
    case 'struct':
      return structText(form, node.items);
    case 'bytes':
      return bytesText(node.bytes, form.cut);
    case 'bits':
      return bitsText(node.bytes, form.cut);
    case 'string':
      return quote(node.bytes);
    case 'pointer': {
      const address = plainNumber(node.address, true);
      if (node.to === undefined) return address;
      return form.cut ? nodeText(form, node.to) : `${address} ${nodeText(form, node.to)}`;
    }
    case 'unknown':
      return '?';
  }
}

/** Abbreviated: a struct that is one record of the hardware's and no more is said in its words. */
function record(form: Form, node: Node): string | undefined {
  if (!form.cut || node.kind !== 'struct') return undefined;
  const [item, more] = node.items.filter((i) => i.level <= form.level);
  return more === undefined && item?.node.kind === 'array' && item.node.text !== undefined ? plain(item.node.text) : undefined;
}

function structText(form: Form, items: readonly Item[]): string {
  const shown = items.filter((i) => i.level <= form.level);
  return `{${shown.map((i) => `${i.name}=${nodeText(form, i.node)}`).join(' ')}}`;
}

const requestText = (request: number): string => `0x${(request >>> 0).toString(16)}`;

/** A node of a view, alone: for a screen that shows a call field by field. */
export function printNode(table: UapiTable, node: Node, style: PrintStyle | StyleName): string {
  return nodeText(formOf(table, typeof style === 'string' ? { style } : style), node);
}

/** What stands between the parentheses of `ioctl(fd, …)`. */
export function printCall(table: UapiTable, call: CallBytes, style: PrintStyle | StyleName = 'abbrev'): string {
  const chosen: PrintStyle = typeof style === 'string' ? { style } : style;
  return chosen.style === 'raw' ? rawText(call) : printView(table, viewCall(table, call), chosen);
}

export function printView(table: UapiTable, view: CallView, style: PrintStyle): string {
  const form = formOf(table, style);
  const name = view.command?.name ?? requestText(view.request);
  const after = view.out === undefined ? '' : nodeText(form, view.out);
  const arg = view.arg === undefined ? '' : `, ${nodeText(form, view.arg)}`;
  return `${name}${arg}${after === '' || after === '{}' ? '' : ` => ${after}`}`;
}

/** The command's name with IOMMU_TEST_CMD's operation, for a list: IOMMU_TEST_CMD(MOCK_DOMAIN) */
export function callTitle(table: UapiTable, view: CallView): string {
  const name = view.command?.name ?? requestText(view.request);
  return view.op === undefined ? name : `${name}(${table.enum('IOMMU_TEST_OP')?.short.get(view.op) ?? view.op})`;
}

/** Numbers and bytes: nothing that needs the table. */
function rawText(call: CallBytes): string {
  const request = requestText(call.request);
  if (call.in === undefined) return call.arg === undefined ? request : `${request}, ${plainNumber(call.arg, true)}`;
  const parts = [`bytes:${hexOf(call.in)}`];
  for (const slot of slotsOf(call.in.length, (s) => call.nestedIn(s))) parts.push(`@${slot}=bytes:${hexOf(call.nestedIn(slot)!)}`);
  const after: string[] = [];
  if (call.out !== undefined && hexOf(call.out) !== hexOf(call.in)) after.push(`bytes:${hexOf(call.out)}`);
  for (const slot of slotsOf(call.in.length, (s) => call.nestedOut(s))) after.push(`@${slot}=bytes:${hexOf(call.nestedOut(slot)!)}`);
  return `${request}, ${parts.join(' ')}${after.length === 0 ? '' : ` => ${after.join(' ')}`}`;
}

/** Offsets where a pointer can be. */
function slotsOf(length: number, at: (slot: number) => Uint8Array | undefined): number[] {
  const slots: number[] = [];
  for (let slot = 0; slot + 4 <= length; slot += 4) if (at(slot) !== undefined) slots.push(slot);
  return slots;
}

/** Whether a request is of iommufd's and VFIO's type byte at all. */
export function isOurRequest(request: number): boolean {
  return (request & ~0xff) >>> 0 === REQUEST_TYPE;
}

/** A node of a view, alone, as in {@link callJson}. */
export function nodeJson(table: UapiTable, node: Node, derived = true): Json {
  switch (node.kind) {
    case 'number':
      return numberJson(table, node.value, node.field);
    case 'array':
      return node.items.map((n) => nodeJson(table, n, derived));
    case 'struct':
      return structJson(table, node.items, derived);
    case 'bytes':
      return { bytes: hexOf(node.bytes) };
    case 'bits':
      return { bits: hexOf(node.bytes) };
    case 'string':
      return String.fromCharCode(...(node.bytes.at(-1) === 0 ? node.bytes.subarray(0, -1) : node.bytes).subarray(0, 4096));
    case 'pointer':
      return `0x${node.address.toString(16)}`;
    case 'unknown':
      return null;
  }
}

/** `derived` false: without what says again what another item says. */
function structJson(table: UapiTable, items: readonly Item[], derived: boolean): Json {
  const json: Record<string, Json> = {};
  for (const { name, node } of items) {
    if (!derived && name === CAPABILITIES) continue;
    json[name] = nodeJson(table, node, derived);
    const text = derived && (node.kind === 'array' || node.kind === 'number') ? node.text : undefined;
    if (text !== undefined) json[`${name}_text`] = text;
  }
  return json;
}

function nestedJson(table: UapiTable, node: Node | undefined, derived: boolean): [string, Json][] {
  if (node?.kind !== 'struct') return [];
  return node.items.flatMap((i) =>
    i.node.kind === 'pointer' && i.node.to !== undefined ? [[i.name, nodeJson(table, i.node.to, derived)] as [string, Json]] : [],
  );
}

/**
 * {name, request, op?, args, out?, nested?, nestedOut?}: `args` the fields before the call, all of them; `out` those that the
 * kernel wrote; `nested` and `nestedOut` what pointers point to, by field, before and after. Bytes beyond the struct are
 * `tail`, bytes between fields `@offset`, both {bytes: hex}; `x_text` is what the words of field x are to the hardware. `args` is null where the struct was not recorded, a value where
 * the argument is no struct. `derived` false: without `x_text` and without capabilities, which are in the tail.
 */
export function callJson(table: UapiTable, call: CallBytes, derived = true): { readonly [key: string]: Json } {
  const view = viewCall(table, call);
  const nested = nestedJson(table, view.arg, derived);
  const nestedOut = nestedJson(table, view.out, derived);
  const json: { [key: string]: Json } = { name: view.command?.name ?? null, request: `0x${(view.request >>> 0).toString(16)}` };
  if (view.op !== undefined) json.op = view.op;
  json.args = view.arg === undefined ? {} : nodeJson(table, view.arg, derived);
  if (view.out !== undefined) json.out = nodeJson(table, view.out, derived);
  if (nested.length > 0) json.nested = Object.fromEntries(nested);
  if (nestedOut.length > 0) json.nestedOut = Object.fromEntries(nestedOut);
  return json;
}
