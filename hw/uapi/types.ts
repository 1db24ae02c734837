/**
 * The words in which the table of the uAPI is written (`*Row`: spec/*.ts) and in which it is read (the rest: table.ts).
 * A row says everything that is known of a field once; offsets, sizes, codecs, text, schemas and C follow from rows.
 * All numbers are of 64-bit little-endian machines.
 */

/** What the fd is on which a call is made. VFIO and iommufd share the type byte ';', so a request means nothing without it. */
export type Target = 'iommufd' | 'vfio-device' | 'vfio-group' | 'vfio-container' | KvmTarget;
/** Files of KVM: their calls have a type byte of their own, 0xae. */
export type KvmTarget = 'kvm' | 'kvm-vm' | 'kvm-vcpu';

/** Types of iommufd objects (drivers/iommu/iommufd/iommufd_private.h, enum iommufd_object_type). */
export type ObjectType =
  | 'DEVICE'
  | 'HWPT_PAGING'
  | 'HWPT_NESTED'
  | 'IOAS'
  | 'ACCESS'
  | 'FAULT'
  | 'VIOMMU'
  | 'VDEVICE'
  | 'VEVENTQ'
  | 'HW_QUEUE'
  | 'SELFTEST';

/** What a file descriptor in a field is. `FILE` is a memfd or a dma-buf, `ANY` anything that the kernel may refuse. */
export type FileRole =
  | 'IOMMUFD'
  | 'VFIO_DEVICE'
  | 'VFIO_GROUP'
  | 'VFIO_CONTAINER'
  | 'FAULT'
  | 'VEVENTQ'
  | 'ACCESS'
  | 'DMABUF'
  | 'EVENTFD'
  | 'FILE'
  | 'MIGRATION';

export type Scalar = 'u8' | 'u16' | 'u32' | 'u64' | 's32' | 's64' | 'le64';
/** Bytes of a scalar, which is also its alignment. */
export const SCALAR_BYTES: Readonly<Record<Scalar, 1 | 2 | 4 | 8>> = { u8: 1, u16: 2, u32: 4, u64: 8, s32: 4, s64: 8, le64: 8 };

/** What the words of a field are to the hardware; forms.ts says them. */
export type FormName = 'smmuv3-command' | 'smmuv3-event' | 'smmuv3-ste' | 'smmuv3-idr' | 'lvcmdq-map' | 'cmdqv-param';

/** Who writes a field: the caller, the kernel, or both (the kernel writes over what the caller gave). */
export type Dir = 'in' | 'out' | 'inout';

/** How many bytes a user pointer points to; fields are read from the struct as it was before the call. */
export type Length =
  | { readonly rule: 'field'; readonly field: string; readonly times: number }
  | { readonly rule: 'product'; readonly a: string; readonly b: string }
  | { readonly rule: 'fixed'; readonly bytes: number }
  /** 8 · ceil(ceil(length / page) / 64): one bit per page, whole u64 words */
  | { readonly rule: 'bitmap'; readonly length: string; readonly page: string };

/** A user pointer and what it points to. */
export interface Nested {
  /** `mapped`: memory that the kernel pins, compares or copies as DMA; no record holds its bytes */
  readonly dir: Dir | 'mapped';
  /**
   * struct: an array of that struct (or one, as the length says); payload: the struct that the payload rows name for this
   * field's discriminator; entries: the same, many of them, `entry` bytes each; bitmap: u64 words; bytes: no structure
   */
  readonly of: 'struct' | 'payload' | 'entries' | 'bitmap' | 'bytes' | 'memory';
  readonly struct?: string;
  /** of entries: the field with the bytes of one entry */
  readonly entry?: string;
  readonly length: Length;
  /** the pointer means something only when (field & mask) == equals */
  readonly when?: { readonly field: string; readonly mask: number; readonly equals: number };
}

/** The fields of {@link FieldRow} and {@link Field} that say what a number means. */
interface Meaning {
  readonly dir: Dir;
  /** name of the enum whose member the number is */
  readonly enum?: string;
  /** name of the enum whose members are the bits of the number */
  readonly flags?: string;
  /** where a field has both: the bits that are the enum's, the rest are flags */
  readonly enumMask?: number;
  /** id of an object of one of these types; 'ANY': of every type; 'OP': IOMMU_TEST_CMD's op says which */
  readonly ref?: readonly (ObjectType | 'ANY' | 'OP')[];
  /** id of a new object of one of these types */
  readonly creates?: readonly ObjectType[];
  /** the id is destroyed by the call */
  readonly destroys?: true;
  /** a file descriptor that the caller gives (in) or gets (out) */
  readonly fd?: FileRole;
  /** must be 0, or the kernel refuses */
  readonly zero?: true;
  /** reserved or padding, but the kernel does not look: shown only when it is not 0 */
  readonly pad?: true;
  readonly nested?: Nested;
  /** offset, from the start of the struct, of the first capability of a chain of this table, 0 for none */
  readonly chain?: string;
  /** name of the union that the field is in */
  readonly union?: string;
  /** name of the union's member (a struct) that the field is in */
  readonly arm?: string;
  /** first Linux release that has the field, where it is younger than its struct */
  readonly since?: string;
  /** how people read it; default: hex for u64 and for flags, dec else */
  readonly format?: 'hex' | 'dec';
  /** the number, or all of the array, is a record of the hardware's */
  readonly form?: FormName;
  readonly note?: string;
}

/** A field as it is written. Without `at` it follows its predecessor at the alignment of its type, as in C. */
export interface FieldRow extends Meaning {
  readonly name: string;
  readonly type: Scalar;
  /** an array of so many */
  readonly count?: number;
  /** an embedded struct instead of a scalar: its fields appear as `name.field` */
  readonly embed?: string;
}

/** A flexible array at the end of a struct: as many as `count` says, at most what the struct's own length holds. */
export interface TrailingRow {
  readonly name: string;
  readonly type?: Scalar;
  readonly struct?: string;
  /** field with the number of elements; absent: as many bytes as there are */
  readonly count?: string;
  readonly dir: Dir;
  readonly fd?: FileRole;
  /** what is in it is said by payload rows of this struct's command */
  readonly payload?: true;
}

export interface StructRow {
  readonly fields: readonly FieldRow[];
  /** a union of anonymous structs, in front of the field `before` */
  readonly arms?: { readonly union: string; readonly before: string; readonly rows: Readonly<Record<string, readonly FieldRow[]>> };
  readonly trailing?: TrailingRow;
  /** smallest length that the kernel takes: through this field; absent: the whole struct */
  readonly min?: string;
  readonly note?: string;
  readonly since?: string;
  readonly source?: Source;
  /** default: iommufd.h, in spec/vfio.ts vfio.h */
  readonly header?: Header;
}

/**
 * Who vouches for a row: `abi` = a file of fixtures/abi (compared by spec.test.ts), `header` = only the C header
 * (compared by the static asserts of emit-asserts.ts).
 */
export type Source = 'abi' | 'header';

/** The C header a row is from; the selftest's is private to the kernel. */
export type Header = 'iommufd.h' | 'iommufd_test.h' | 'vfio.h' | 'kvm.h';

export interface CommandRow extends Partial<StructRow> {
  readonly nr: number;
  readonly target: Target;
  /** C name of the struct; absent where the argument is no struct */
  readonly struct?: string;
  /** default struct */
  readonly arg?: ArgKind;
  /** meaning of an integer argument */
  readonly argEnum?: string;
  readonly since: string;
  /** what the return value is, where it is not 0 */
  readonly returns?: {
    readonly fd?: FileRole;
    readonly note?: string;
    readonly when?: { readonly field: string; readonly mask: number; readonly equals: number };
  };
  readonly note: string;
}
/** A call of KVM: none of iommufd's, so nothing is derived from it but names, fields and text. */
export interface KvmCommandRow {
  /** the whole ioctl number */
  readonly request: number;
  readonly target: KvmTarget;
  readonly struct?: string;
  readonly arg?: ArgKind;
  readonly fields?: readonly FieldRow[];
  readonly note: string;
}

export type ArgKind = 'struct' | 'int' | 'none' | 'fd-pointer' | 'u32-pointer' | 'string';

/** One constant of an enum; `selftest` members exist only in the kernel's private selftest header. */
export interface EnumRow {
  /** default: by the group that the row is in */
  readonly header?: Header;
  readonly kind: 'enum' | 'flags' | 'constants';
  /** what the short form leaves out of the names, first match wins */
  readonly prefix: string | readonly string[];
  readonly members: Readonly<Record<string, number>>;
  /** further members, by name, from the enum `selftest_constants` */
  readonly selftest?: readonly string[];
  /** an enum of ours, there to give a field's bits a name; its members come from elsewhere */
  readonly ours?: true;
  /** first Linux release of a member; '': of all of them. Approximate: a release after which it was surely there */
  readonly since?: Readonly<Record<string, string>>;
}

/** Which struct a pointer or a trailing array holds when (field & mask) == the constant `equals`. */
export interface PayloadRow {
  readonly command: string;
  readonly field: string;
  readonly by: string;
  readonly mask?: number;
  readonly equals: string;
  readonly struct?: string;
  /** instead of a struct: elements of this scalar, as many as the command's `count` */
  readonly scalar?: Scalar;
  readonly fd?: FileRole;
  readonly dir: Dir;
  /** smallest length the kernel takes, in bytes, where it is not the struct's */
  readonly min?: number;
  /** type of the object that the call names, where one discriminator has two structs */
  readonly object?: ObjectType;
  readonly source?: Source;
  readonly note?: string;
}

/** Bytes read from or written to one of iommufd's event files. */
export interface RecordRow {
  readonly file: 'FAULT' | 'VEVENTQ';
  readonly call: 'read' | 'write';
  readonly struct: string;
}

/** An operation of IOMMU_TEST_CMD. */
export interface TestOpRow {
  readonly value: number;
  /** arm of the union that it uses */
  readonly arm: string;
  /** what `id` is: types of the object, or an access fd, or nothing */
  readonly id: readonly ObjectType[] | 'access-fd' | 'unused';
  readonly note: string;
  readonly returns?: { readonly fd: FileRole };
}

/** A field of a struct with its place. */
export interface Field extends Meaning {
  /** `arm.name` inside a union's struct, `header.name` inside an embedded struct */
  readonly name: string;
  /** as it is shown: without the arm, where that is clear */
  readonly label: string;
  readonly type: Scalar;
  readonly count?: number;
  /** bytes from the start of the struct */
  readonly offset: number;
  /** bytes, of the whole array where it is one */
  readonly size: number;
  /** C name of the embedded struct that the field came with */
  readonly embedded?: string;
}

export interface Trailing extends TrailingRow {
  readonly offset: number;
  /** bytes of one element */
  readonly stride: number;
}

export interface Struct {
  readonly name: string;
  /** sizeof, in bytes */
  readonly size: number;
  /** smallest length that the kernel takes, in bytes */
  readonly min: number;
  /** in memory order; arms of a union one after another */
  readonly fields: readonly Field[];
  readonly byName: ReadonlyMap<string, Field>;
  readonly trailing?: Trailing;
  /** first Linux release that has it */
  readonly since: string;
  readonly source: Source;
  readonly header: Header;
}

export interface Command {
  /** as in the C header: IOMMU_IOAS_MAP, VFIO_DEVICE_BIND_IOMMUFD */
  readonly name: string;
  /** low byte of the request */
  readonly nr: number;
  /** the whole ioctl number: 0x3b00 | nr, of KVM's what its header says */
  readonly request: number;
  readonly target: Target;
  readonly struct: Struct | undefined;
  readonly arg: ArgKind;
  readonly argEnum?: string;
  /** first Linux release that has it */
  readonly since: string;
  readonly returns?: CommandRow['returns'];
  readonly note: string;
  readonly source: Source;
  readonly header: Header;
}

export interface TestOp {
  /** IOMMU_TEST_OP_ADD_RESERVED */
  readonly name: string;
  readonly value: number;
  readonly arm: string;
  readonly id: TestOpRow['id'];
  readonly note: string;
  readonly returns?: { readonly fd: FileRole };
  /** the union arm's fields */
  readonly fields: readonly Field[];
}

export interface Payload {
  readonly field: string;
  readonly by: string;
  readonly mask: number;
  readonly value: number;
  readonly constant: string;
  readonly struct: Struct | undefined;
  readonly scalar?: Scalar;
  readonly fd?: FileRole;
  readonly dir: Dir;
  readonly min: number;
  readonly object?: ObjectType;
  readonly source: Source;
}

export interface Enum {
  readonly name: string;
  readonly kind: EnumRow['kind'];
  /** full constant name to value */
  readonly members: ReadonlyMap<string, number>;
  /** value to the first full name that has it */
  readonly names: ReadonlyMap<number, string>;
  /** full name to short name */
  readonly short: ReadonlyMap<string, string>;
  readonly since: Readonly<Record<string, string>>;
  readonly ours: boolean;
  readonly header: Header;
}
