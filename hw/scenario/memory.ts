/** Memory of a program that is a guest's RAM, page by page; what was never written is 0. */
const PAGE = 4096n;

export class GuestMemory {
  readonly #pages = new Map<bigint, Uint8Array>();

  #page(address: bigint): Uint8Array {
    const at = address / PAGE;
    const page = this.#pages.get(at) ?? new Uint8Array(Number(PAGE));
    this.#pages.set(at, page);
    return page;
  }
  write(address: bigint, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) {
      const at = address + BigInt(i);
      this.#page(at)[Number(at % PAGE)] = bytes[i]!;
    }
  }
  read(address: bigint, bytes: number): Uint8Array {
    return Uint8Array.from({ length: bytes }, (_, i) => {
      const at = address + BigInt(i);
      return this.#page(at)[Number(at % PAGE)]!;
    });
  }
}
