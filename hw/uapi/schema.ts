/**
 * Zod schemas derived from rows. `valuesSchema` is what decoding gives; `inputSchema` is what people and scripts write:
 * constants by name, flags as `A|B` or a list, u64 as "0x…", anything left out is 0. What comes out of either encodes
 * without loss; a number out of range, an unknown constant or an unknown field is an error that names it.
 */
import * as z from 'zod';
import type { Value, Values } from './codec.ts';
import { fieldsOf } from './codec.ts';
import type { UapiTable } from './table.ts';
import { type Enum, type Field, SCALAR_BYTES, type Struct } from './types.ts';

/** Smallest and greatest value of a field's type. */
export function rangeOf(field: Pick<Field, 'type'>): readonly [bigint, bigint] {
  const bits = BigInt(SCALAR_BYTES[field.type] * 8);
  return field.type.startsWith('s') ? [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n] : [0n, (1n << bits) - 1n];
}

const isWide = (field: Pick<Field, 'type'>): boolean => SCALAR_BYTES[field.type] === 8;

function scalarSchema(field: Field): z.ZodType<number | bigint> {
  const [min, max] = rangeOf(field);
  return isWide(field) ? z.bigint().min(min).max(max) : z.int().min(Number(min)).max(Number(max));
}

/** The values of a struct as decodeStruct gives them, every field there. @param arm of the struct's union */
export function valuesSchema(struct: Struct, arm?: string): z.ZodType<Values> {
  return z.strictObject(
    Object.fromEntries(
      fieldsOf(struct, arm).map((f): [string, z.ZodType<Value>] => [
        f.name,
        f.count === undefined ? scalarSchema(f) : z.array(scalarSchema(f)).length(f.count),
      ]),
    ),
  );
}

/** A number written in decimal or as 0x…, with a sign; undefined for anything else. */
function parseNumber(text: string): bigint | undefined {
  const match = /^(-?)(0x[0-9a-fA-F]{1,16}|\d{1,20})$/.exec(text);
  if (match === null) return undefined;
  const value = BigInt(match[2] ?? '0');
  return match[1] === '-' ? -value : value;
}

/** Value of a constant by its full or its short name. */
export function constantOf(e: Enum | undefined, name: string): number | undefined {
  if (e === undefined) return undefined;
  const full = e.members.get(name);
  if (full !== undefined) return full;
  for (const [member, short] of e.short) if (short === name) return e.members.get(member);
  return undefined;
}

/**
 * One word of the text form for a field: a number, a constant, flags with `|`. Undefined for what it cannot be.
 */
export function parseWord(table: UapiTable, field: Pick<Field, 'enum' | 'flags'>, word: string): bigint | undefined {
  let value = 0n;
  const parts = word.split('|');
  for (const part of parts) {
    const number = parseNumber(part);
    const named = field.enum === undefined ? undefined : constantOf(table.enum(field.enum), part);
    const flag = field.flags === undefined ? undefined : constantOf(table.enum(field.flags), part);
    const one = number ?? (named === undefined ? undefined : BigInt(named)) ?? (flag === undefined ? undefined : BigInt(flag));
    if (one === undefined || (parts.length > 1 && one < 0n)) return undefined;
    value = parts.length === 1 ? one : value | one;
  }
  return value;
}

function wordSchema(table: UapiTable, field: Field): z.ZodType<number | bigint> {
  const [min, max] = rangeOf(field);
  const written = z.union([z.number(), z.bigint(), z.string(), z.array(z.union([z.string(), z.number()]))]);
  return written.transform((input, context) => {
    const text = Array.isArray(input) ? (input.length === 0 ? '0' : input.join('|')) : String(input);
    const value = parseWord(table, field, text);
    if (value === undefined || value < min || value > max) {
      const what = value === undefined ? 'no number and no constant of this field' : `out of range (${min} … ${max})`;
      context.addIssue({ code: 'custom', message: `${field.name}: ${text} is ${what}` });
      return z.NEVER;
    }
    return isWide(field) ? value : Number(value);
  });
}

/** What people write for a struct: see the head of this file. @param arm of the struct's union; its fields go by their labels */
export function inputSchema(table: UapiTable, struct: Struct, arm?: string): z.ZodType<Values> {
  const fields = fieldsOf(struct, arm);
  const shape = Object.fromEntries(
    fields.map((f): [string, z.ZodType<Value | undefined>] => {
      const one = wordSchema(table, f);
      return [f.label, (f.count === undefined ? one : z.array(one).length(f.count)).optional()];
    }),
  );
  const full = new Map(fields.map((f) => [f.label, f.name]));
  return z
    .strictObject(shape)
    .transform((given) =>
      Object.fromEntries(
        Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [[full.get(name) ?? name, value as Value]])),
      ),
    );
}
