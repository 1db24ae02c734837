/**
 * Names of the flag words that the calls beside ioctl carry: open, mmap, mremap, close_range, fcntl. Numbers are those of
 * Linux's asm-generic headers; where an architecture differs there is a column for it.
 */

/** One bit (or group of bits) and its name. `only` names the machines (`uname -m`) that give the bit this meaning. */
interface Bit {
  readonly bits: number;
  readonly name: string;
  readonly only?: readonly string[];
}

/** A word: an optional choice in its low bits, then single bits. */
interface Word {
  /** bits of the choice; 0 = none */
  readonly mask: number;
  readonly choice: Readonly<Record<number, string>>;
  readonly bits: readonly Bit[];
  /** what 0 is called where there is no choice */
  readonly zero: string;
}

const X86 = ['x86_64', 'i686', 'i386'] as const;
const ARM = ['aarch64', 'arm64', 'armv7l', 'arm'] as const;

/** include/uapi/asm-generic/fcntl.h, arch/arm64/include/uapi/asm/fcntl.h. Composed flags stand before their parts. */
export const OPEN_FLAGS: Word = {
  mask: 3,
  choice: { 0: 'O_RDONLY', 1: 'O_WRONLY', 2: 'O_RDWR', 3: 'O_ACCMODE' },
  zero: '0',
  bits: [
    { bits: 0o100, name: 'O_CREAT' },
    { bits: 0o200, name: 'O_EXCL' },
    { bits: 0o400, name: 'O_NOCTTY' },
    { bits: 0o1000, name: 'O_TRUNC' },
    { bits: 0o2000, name: 'O_APPEND' },
    { bits: 0o4000, name: 'O_NONBLOCK' },
    { bits: 0o4010000, name: 'O_SYNC' },
    { bits: 0o10000, name: 'O_DSYNC' },
    { bits: 0o20000, name: 'FASYNC' },
    { bits: 0o20200000, name: 'O_TMPFILE', only: X86 },
    { bits: 0o20040000, name: 'O_TMPFILE', only: ARM },
    { bits: 0o40000, name: 'O_DIRECT', only: X86 },
    { bits: 0o100000, name: 'O_LARGEFILE', only: X86 },
    { bits: 0o200000, name: 'O_DIRECTORY', only: X86 },
    { bits: 0o400000, name: 'O_NOFOLLOW', only: X86 },
    { bits: 0o40000, name: 'O_DIRECTORY', only: ARM },
    { bits: 0o100000, name: 'O_NOFOLLOW', only: ARM },
    { bits: 0o200000, name: 'O_DIRECT', only: ARM },
    { bits: 0o400000, name: 'O_LARGEFILE', only: ARM },
    { bits: 0o1000000, name: 'O_NOATIME' },
    { bits: 0o2000000, name: 'O_CLOEXEC' },
    { bits: 0o10000000, name: 'O_PATH' },
  ],
};

/** include/uapi/asm-generic/mman-common.h; BTI and MTE: arch/arm64/include/uapi/asm/mman.h */
export const PROT_FLAGS: Word = {
  mask: 0,
  choice: {},
  zero: 'PROT_NONE',
  bits: [
    { bits: 1, name: 'PROT_READ' },
    { bits: 2, name: 'PROT_WRITE' },
    { bits: 4, name: 'PROT_EXEC' },
    { bits: 8, name: 'PROT_SEM' },
    { bits: 0x10, name: 'PROT_BTI', only: ARM },
    { bits: 0x20, name: 'PROT_MTE', only: ARM },
    { bits: 0x01000000, name: 'PROT_GROWSDOWN' },
    { bits: 0x02000000, name: 'PROT_GROWSUP' },
  ],
};

/** include/uapi/linux/mman.h, include/uapi/asm-generic/mman.h */
export const MAP_FLAGS: Word = {
  mask: 0xf,
  choice: { 1: 'MAP_SHARED', 2: 'MAP_PRIVATE', 3: 'MAP_SHARED_VALIDATE', 8: 'MAP_DROPPABLE' },
  zero: '0',
  bits: [
    { bits: 0x10, name: 'MAP_FIXED' },
    { bits: 0x20, name: 'MAP_ANONYMOUS' },
    { bits: 0x40, name: 'MAP_32BIT', only: X86 },
    { bits: 0x100, name: 'MAP_GROWSDOWN' },
    { bits: 0x800, name: 'MAP_DENYWRITE' },
    { bits: 0x1000, name: 'MAP_EXECUTABLE' },
    { bits: 0x2000, name: 'MAP_LOCKED' },
    { bits: 0x4000, name: 'MAP_NORESERVE' },
    { bits: 0x8000, name: 'MAP_POPULATE' },
    { bits: 0x10000, name: 'MAP_NONBLOCK' },
    { bits: 0x20000, name: 'MAP_STACK' },
    { bits: 0x40000, name: 'MAP_HUGETLB' },
    { bits: 0x80000, name: 'MAP_SYNC' },
    { bits: 0x100000, name: 'MAP_FIXED_NOREPLACE' },
    { bits: 0x4000000, name: 'MAP_UNINITIALIZED' },
  ],
};

/** include/uapi/linux/mman.h */
export const MREMAP_FLAGS: Word = {
  mask: 0,
  choice: {},
  zero: '0',
  bits: [
    { bits: 1, name: 'MREMAP_MAYMOVE' },
    { bits: 2, name: 'MREMAP_FIXED' },
    { bits: 4, name: 'MREMAP_DONTUNMAP' },
  ],
};

/** include/uapi/linux/close_range.h */
export const CLOSE_RANGE_FLAGS: Word = {
  mask: 0,
  choice: {},
  zero: '0',
  bits: [
    { bits: 2, name: 'CLOSE_RANGE_UNSHARE' },
    { bits: 4, name: 'CLOSE_RANGE_CLOEXEC' },
  ],
};

/**
 * A flag word by name: `O_RDWR|O_CLOEXEC`, bits without a name as one hexadecimal number at the end.
 * @param machine `uname -m` of the recorded machine: some O_ bits mean different things on different architectures
 */
export function flagNames(word: Word, value: bigint, machine: string): string {
  const names: string[] = [];
  let rest = value;
  if (word.mask !== 0) {
    const choice = Number(rest & BigInt(word.mask));
    const name = word.choice[choice];
    if (name !== undefined) {
      names.push(name);
      rest &= ~BigInt(word.mask);
    }
  }
  for (const row of word.bits) {
    if (row.only !== undefined && !row.only.includes(machine)) continue;
    const bits = BigInt(row.bits);
    if ((rest & bits) !== bits) continue;
    names.push(row.name);
    rest &= ~bits;
  }
  if (rest !== 0n) names.push(`0x${rest.toString(16)}`);
  return names.length === 0 ? word.zero : names.join('|');
}

/** The word that {@link flagNames} gave these names; undefined where one is no name of its. */
export function flagValue(word: Word, names: readonly string[], machine: string): bigint | undefined {
  let value = 0n;
  for (const name of names) {
    const choice = Object.entries(word.choice).find(([, n]) => n === name)?.[0];
    const row = word.bits.find((r) => r.name === name && (r.only === undefined || r.only.includes(machine)));
    if (choice !== undefined) value |= BigInt(choice);
    else if (row !== undefined) value |= BigInt(row.bits);
    else if (/^0x[0-9a-f]{1,16}$/.test(name)) value |= BigInt(name);
    else if (name !== word.zero) return undefined;
  }
  return value;
}
