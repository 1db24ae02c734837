/** What /proc tells about the traced processes: their memory, descriptors, rights, and whether they are still there. */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, statSync, writeSync } from 'node:fs';
import { startTime } from '../processes.ts';

/** Is there such a process, running or not waited for yet? */
export const exists = (pid: number): boolean => existsSync(`/proc/${pid}`);

/** Is there such a process, and does it still run? A zombie does not. */
export const lives = (pid: number): boolean => startTime(pid) !== undefined;

/** A mapping of a process, end exclusive. */
export interface Mapped {
  readonly start: bigint;
  readonly end: bigint;
  readonly readable: boolean;
  readonly writable: boolean;
  /** what is shared with others: device and inode; '' for memory of its own */
  readonly shared: string;
  readonly offset: bigint;
  /** made of huge pages */
  readonly huge: boolean;
}

const LINE = /^([0-9a-f]+)-([0-9a-f]+) (.)(.).(.) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+)/;

const lastMaps = { text: '', mapped: [] as Mapped[] };

/** Mappings of a process, ascending; undefined where it is gone, or may not be looked at. */
export function mappingsOf(pid: number): Mapped[] | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/maps`, 'latin1');
  } catch {
    return undefined;
  }
  // a program that does not map anything meanwhile is the common case
  if (text === lastMaps.text) return lastMaps.mapped;
  const found: Mapped[] = [];
  for (const line of text.split('\n')) {
    const m = LINE.exec(line);
    if (m === null) continue;
    found.push({
      start: BigInt(`0x${m[1]}`),
      end: BigInt(`0x${m[2]}`),
      readable: m[3] === 'r',
      writable: m[4] === 'w',
      shared: m[5] === 's' ? `${Number.parseInt(m[7]!, 16)}:${Number.parseInt(m[8]!, 16)}:${m[9]}` : '',
      offset: BigInt(`0x${m[6]}`),
      huge: line.includes('/anon_hugepage'),
    });
  }
  lastMaps.text = text;
  lastMaps.mapped = found;
  return found;
}

/** How /proc/PID/maps names the file of a stat. */
export function sharedName(st: { readonly dev: bigint; readonly ino: bigint }): string {
  const major = ((st.dev >> 8n) & 0xfffn) | ((st.dev >> 32n) & ~0xfffn);
  const minor = (st.dev & 0xffn) | ((st.dev >> 12n) & 0xffffff00n);
  return `${major}:${minor}:${st.ino}`;
}

/** Device and inode behind a descriptor; undefined: no such descriptor, 'unknown': it may not be looked at. */
export function fileBehind(pid: number, fd: number): { readonly dev: bigint; readonly ino: bigint } | undefined | 'unknown' {
  try {
    return statSync(`/proc/${pid}/fd/${fd}`, { bigint: true });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : 'unknown';
  }
}

/** What tells the eventfd behind a descriptor from others; 'none': no such descriptor, 'other': it is no eventfd. */
export function eventfdOf(pid: number, fd: number): string {
  try {
    const text = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1');
    const id = /^eventfd-id:\s*(\d+)$/m.exec(text)?.[1];
    // before Linux 5.2 eventfds had no numbers
    return id ?? (/^eventfd-count:/m.test(text) ? `${pid} ${fd}` : 'other');
  } catch {
    return 'none';
  }
}

/** A descriptor of a process for this eventfd. */
export function descriptorOf(pid: number, eventfd: string): number | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`)
      .map(Number)
      .find((fd) => eventfdOf(pid, fd) === eventfd);
  } catch {
    return undefined;
  }
}

/** Capability numbers of linux/capability.h. */
export const CAP_SYS_RESOURCE = 24;

export function hasCapability(pid: number, capability: number): boolean {
  try {
    const found = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
    return found !== null && ((BigInt(`0x${found[1]}`) >> BigInt(capability)) & 1n) === 1n;
  } catch {
    return false;
  }
}

/** Memory of another process. undefined where it cannot be read throughout. */
export function readMemory(pid: number, address: bigint, bytes: number): Uint8Array | undefined {
  return withMemory(pid, 'r', (fd) => {
    const b = Buffer.alloc(bytes);
    for (let done = 0; done < bytes; ) {
      const n = readSync(fd, b, done, bytes - done, address + BigInt(done));
      if (n === 0) return undefined;
      done += n;
    }
    return new Uint8Array(b.buffer, b.byteOffset, bytes);
  });
}

export function writeMemory(pid: number, address: bigint, bytes: Uint8Array): boolean {
  const done = withMemory(pid, 'r+', (fd) => {
    for (let at = 0; at < bytes.length; ) {
      const n = writeSync(fd, bytes, at, bytes.length - at, Number(address) + at);
      if (n === 0) return undefined;
      at += n;
    }
    return true;
  });
  return done === true;
}

function withMemory<T>(pid: number, mode: string, use: (fd: number) => T | undefined): T | undefined {
  let fd = -1;
  try {
    fd = openSync(`/proc/${pid}/mem`, mode);
    return use(fd);
  } catch {
    return undefined;
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

/** Frames of physical pages, 0 where they are not told; undefined where the process is gone. 8 bytes per page. */
export function frames(pid: number, address: bigint, pages: number): bigint[] | undefined {
  try {
    const fd = openSync(`/proc/${pid}/pagemap`, 'r');
    try {
      const b = Buffer.alloc(8 * pages);
      readSync(fd, b, 0, b.length, Number(address >> 12n) * 8);
      return Array.from({ length: pages }, (_, i) => b.readBigUInt64LE(8 * i) & ((1n << 55n) - 1n));
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}
