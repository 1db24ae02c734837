/**
 * Types of a command's fields, inferred from the rows of linux-7.2. An id of one type of object cannot be handed over where
 * another is due: Args<'IOMMU_IOAS_MAP'>['ioas_id'] is an ObjectId<'IOAS'>.
 */
import { decodeStruct, encodeCommand, type Values } from './codec.ts';
import type { iommufdCommands } from './spec/iommufd.ts';
import type { testArms, testOps } from './spec/selftest.ts';
import type { vfioContainerCommands, vfioDeviceCommands, vfioGroupCommands } from './spec/vfio.ts';
import { uapiTable } from './table.ts';
import type { FieldRow, ObjectType } from './types.ts';

declare const objectType: unique symbol;
/** The number of an iommufd object, in one context. Made by decoding, or by {@link objectId}. */
export type ObjectId<T extends ObjectType = ObjectType> = number & { readonly [objectType]: T };

/** Says that a number is the id of an object of that type; nothing is checked. */
export function objectId<T extends ObjectType>(id: number): ObjectId<T> {
  return id as ObjectId<T>;
}

type Rows = typeof iommufdCommands & typeof vfioDeviceCommands & typeof vfioGroupCommands & typeof vfioContainerCommands;
/** Commands whose argument is a struct, but for IOMMU_TEST_CMD, see {@link TestArgs}. */
export type CommandName = { [N in keyof Rows]: Rows[N] extends { readonly fields: readonly FieldRow[] } ? N : never }[keyof Rows];

type ScalarOf<F extends FieldRow> = F['type'] extends 'u64' | 's64' | 'le64' ? bigint : number;
type RefOf<R> = R extends ObjectType ? R : R extends 'ANY' ? ObjectType : never;
type ValueOf<F extends FieldRow> = F extends { readonly count: number }
  ? readonly ScalarOf<F>[]
  : F extends { readonly creates: readonly (infer T extends ObjectType)[]; readonly fd?: undefined }
    ? ObjectId<T>
    : F extends { readonly ref: readonly (infer R)[] }
      ? ObjectId<RefOf<R>>
      : ScalarOf<F>;
type ValuesOf<Fields extends readonly FieldRow[]> = { readonly [F in Fields[number] as F['name']]: ValueOf<F> };
type FieldsOf<N extends CommandName> = Rows[N] extends { readonly fields: infer F extends readonly FieldRow[] } ? F : never;

/** All fields of a command's struct. */
export type Args<N extends CommandName> = ValuesOf<FieldsOf<N>>;

type Ops = typeof testOps;
export type TestOpName = keyof Ops;
/** The fields of an operation of IOMMU_TEST_CMD, without the arm's name. */
export type TestArgs<N extends TestOpName> = ValuesOf<(typeof testArms)[Ops[N]['arm']]>;

/** A struct of linux-7.2 with types; fields that the bytes do not reach are 0, as the kernel reads them. */
export function decodeArgs<N extends CommandName>(name: N, bytes: Uint8Array): Args<N> {
  const struct = uapiTable('linux-7.2').byName(name)?.struct;
  if (struct === undefined) throw new Error(`uapi: ${name} has no struct`);
  const whole = new Uint8Array(struct.size);
  whole.set(bytes.subarray(0, struct.size));
  return decodeStruct(struct, whole).values as unknown as Args<N>;
}

/** Bytes of a command from typed fields; what is left out is 0, `size` or `argsz` the length of the struct. */
export function encodeArgs<N extends CommandName>(name: N, args: Partial<Args<N>>): Uint8Array {
  const command = uapiTable('linux-7.2').byName(name);
  if (command === undefined) throw new Error(`uapi: no ${name}`);
  return encodeCommand(command, args as unknown as Values);
}
