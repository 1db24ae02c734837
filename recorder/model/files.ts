/** Open files of the model, as the recorder has them: the reading end of a FIFO each. */
import { closeSync, constants, fstatSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

interface Held {
  readonly fd: number;
  readonly inode: bigint;
  /** a byte in the FIFO says that there is something to read */
  readable: boolean;
}

export class Files {
  readonly #folder: string;
  readonly #held = new Map<number, Held>();
  readonly #byte = Buffer.alloc(16);

  constructor(folder: string) {
    this.#folder = folder;
  }
  close(): void {
    for (const { fd } of this.#held.values()) closeSync(fd);
  }

  /** The program has made it; from now on its end is seen. Throws where it is not there. */
  take(file: number): void {
    const path = join(this.#folder, `file-${file}`);
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    rmSync(path, { force: true });
    this.#held.set(file, { fd, inode: fstatSync(fd, { bigint: true }).ino, readable: false });
  }

  /** The number of a file by its inode. */
  byInode(inode: bigint): number | undefined {
    for (const [file, held] of this.#held) if (held.inode === inode) return file;
    return undefined;
  }

  /**
   * Has its last descriptor been closed? Then it is held no more. `gone` hears of its inode while that is still its own: let go,
   * it may be the next file's at once.
   */
  ended(file: number, gone: (inode: bigint) => void): boolean {
    const held = this.#held.get(file);
    if (held === undefined) return false;
    for (;;) {
      try {
        const n = readSync(held.fd, this.#byte, 0, 16, null);
        if (n > 0) continue; // the byte that says readable; what is behind it counts
      } catch {
        if (held.readable) this.#mark(held);
        return false;
      }
      gone(held.inode);
      this.#held.delete(file);
      closeSync(held.fd);
      return true;
    }
  }

  get numbers(): number[] {
    return [...this.#held.keys()];
  }

  /** poll(2) says that there is something to read, or not. */
  setReadable(file: number, readable: boolean): void {
    const held = this.#held.get(file);
    if (held === undefined || held.readable === readable) return;
    held.readable = readable;
    if (readable) this.#mark(held);
    else
      try {
        readSync(held.fd, this.#byte, 0, 16, null);
      } catch {
        // somebody has read it
      }
  }

  #mark(held: Held): void {
    try {
      const fd = openSync(`/proc/self/fd/${held.fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
      try {
        writeSync(fd, Buffer.of(1), 0, 1);
      } finally {
        closeSync(fd);
      }
    } catch {
      // its last descriptor is closed
    }
  }
}
