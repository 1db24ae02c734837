/** Records of fixed size, little-endian, one behind the other: as they lie in a plan. */

export type FieldType = 'u8' | 'u16' | 'u32' | 'i32' | 'u64' | 'i64';
export type Fields = Readonly<Record<string, FieldType>>;
/** A record; reserved fields are 0 and are left out. */
export type Row<F extends Fields> = {
  readonly [N in Exclude<keyof F, 'reserved'>]: F[N] extends 'u64' | 'i64' ? bigint : number;
};

const WIDTH: Readonly<Record<FieldType, number>> = { u8: 1, u16: 2, u32: 4, i32: 4, u64: 8, i64: 8 };
const FIRST_ROWS = 64;

interface Column {
  readonly name: string;
  readonly type: FieldType;
  /** in the record, bytes */
  readonly at: number;
}

/** Bytes of a record. */
export const rowBytes = (fields: Fields): number => Object.values(fields).reduce((sum, type) => sum + WIDTH[type], 0);

function columnsOf(fields: Fields): Column[] {
  let at = 0;
  return Object.entries(fields).flatMap(([name, type]) => {
    const column = { name, type, at };
    at += WIDTH[type];
    return name === 'reserved' ? [] : [column];
  });
}

/** Records that are added one after the other. A session has millions: they are bytes, not objects. */
export class Rows<F extends Fields> {
  /** bytes of one */
  readonly size: number;
  readonly #fields: F;
  readonly #columns: readonly Column[];
  #length = 0;
  #bytes: Buffer;
  #view: DataView;

  constructor(fields: F) {
    this.#fields = fields;
    this.size = rowBytes(fields);
    this.#columns = columnsOf(fields);
    this.#bytes = Buffer.alloc(FIRST_ROWS * this.size);
    this.#view = viewOf(this.#bytes);
  }

  /** Those of a list. */
  static of<F extends Fields>(fields: F, rows: Iterable<Row<F>>): Rows<F> {
    const made = new Rows(fields);
    for (const row of rows) made.add(row);
    return made;
  }

  get length(): number {
    return this.#length;
  }
  /** All of them, a view. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length * this.size);
  }

  add(row: Row<F>): void {
    const start = this.#length * this.size;
    if (start + this.size > this.#bytes.length) this.#grow();
    const view = this.#view;
    for (const { name, type, at } of this.#columns) {
      const value = row[name as keyof Row<F>] as number | bigint;
      if (typeof value === 'bigint') view.setBigUint64(start + at, value, true);
      else if (type === 'u32') view.setUint32(start + at, value, true);
      else if (type === 'i32') view.setInt32(start + at, value, true);
      else if (type === 'u8') view.setUint8(start + at, value);
      else view.setUint16(start + at, value, true);
    }
    this.#length++;
  }

  /** undefined: there is none of that index */
  at(index: number): Row<F> | undefined {
    if (index < 0 || index >= this.#length) return undefined;
    return Object.fromEntries(
      this.#columns.map(({ name, type, at }) => [name, this.#read(type, index * this.size + at)]),
    ) as unknown as Row<F>;
  }

  /** The same with one changed. Throws a RangeError where there is none of that index. */
  with(index: number, change: Partial<Row<F>>): Rows<F> {
    if (index < 0 || index >= this.#length) throw new RangeError(`no record ${index}`);
    return Rows.of(
      this.#fields,
      [...this].map((row, i) => (i === index ? { ...row, ...change } : row)),
    );
  }

  *[Symbol.iterator](): Generator<Row<F>> {
    for (let i = 0; i < this.#length; i++) yield this.at(i)!;
  }

  #read(type: FieldType, at: number): number | bigint {
    const view = this.#view;
    if (type === 'u64') return view.getBigUint64(at, true);
    if (type === 'i64') return view.getBigInt64(at, true);
    if (type === 'u32') return view.getUint32(at, true);
    if (type === 'i32') return view.getInt32(at, true);
    return type === 'u8' ? view.getUint8(at) : view.getUint16(at, true);
  }

  #grow(): void {
    const grown = Buffer.alloc(2 * this.#bytes.length);
    this.#bytes.copy(grown);
    this.#bytes = grown;
    this.#view = viewOf(grown);
  }
}

const viewOf = (b: Buffer): DataView => new DataView(b.buffer, b.byteOffset, b.length);

/** Bytes that records point to. What is there already is not stored again. */
export class Pool {
  #bytes = Buffer.alloc(1 << 16);
  #length = 0;
  /** where bytes lie, by a hash of them: of several the last */
  readonly #places = new Map<number, number>();

  /** All of it, a view. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Where they lie: a multiple of 8. */
  place(bytes: Uint8Array): number {
    if (bytes.length === 0) return 0;
    const hash = hashOf(bytes);
    const known = this.#places.get(hash);
    if (known !== undefined && this.#bytes.compare(bytes, 0, bytes.length, known, known + bytes.length) === 0) return known;
    const at = this.#length;
    this.#length += Math.ceil(bytes.length / 8) * 8;
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.alloc(Math.max(2 * this.#bytes.length, this.#length));
      this.#bytes.copy(grown, 0, 0, at);
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, at);
    this.#places.set(hash, at);
    return at;
  }
}

/** Of long ones some bytes will do. */
const HASHED = 256;

/** FNV-1a, 32 bits. */
function hashOf(bytes: Uint8Array): number {
  let h = 0x811c9dc5 ^ bytes.length;
  const step = Math.max(1, Math.floor(bytes.length / HASHED));
  for (let i = 0; i < bytes.length; i += step) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  return h >>> 0;
}
