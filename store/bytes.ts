/** Bytes one after the other: what the parts of a packed chunk are written with and read with. */

const INITIAL = 1 << 16;

/** Grows as it is written to. */
export class ByteWriter {
  bytes = new Uint8Array(INITIAL);
  length = 0;

  /** Makes room for n more bytes and gives where they begin; the caller fills them. */
  reserve(n: number): number {
    const at = this.length;
    this.length = at + n;
    if (this.length > this.bytes.length) {
      const bigger = new Uint8Array(Math.max(this.length, this.bytes.length * 2));
      bigger.set(this.bytes.subarray(0, at));
      this.bytes = bigger;
    }
    return at;
  }

  byte(value: number): void {
    const at = this.reserve(1);
    this.bytes[at] = value;
  }

  /** u32, seven bits per byte, the lowest first. */
  varint(value: number): void {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  u32(value: number): void {
    const at = this.reserve(4);
    const { bytes } = this;
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
    bytes[at + 2] = value >>> 16;
    bytes[at + 3] = value >>> 24;
  }

  written(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

/** Reads what a {@link ByteWriter} wrote. Throws a plain Error at the end of the bytes: they may be anybody's. */
export class ByteReader {
  readonly bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Passes over n bytes and gives where they begin. */
  take(n: number): number {
    const at = this.at;
    if (n > this.bytes.length - at) throw new Error('packed data end too early');
    this.at = at + n;
    return at;
  }

  byte(): number {
    return this.bytes[this.take(1)]!;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new Error('a packed number has no end');
  }

  u32(): number {
    const at = this.take(4);
    const { bytes } = this;
    return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
  }
}
