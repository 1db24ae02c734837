/** Flags of system calls by name. */

export const OPEN_FLAGS: readonly (readonly [number, string])[] = [
  [0o2000000, 'O_CLOEXEC'],
  [0o4000, 'O_NONBLOCK'],
  [0o100000, 'O_LARGEFILE'],
];
export const ACCESS = ['O_RDONLY', 'O_WRONLY', 'O_RDWR'] as const;
export const PROTECTION: readonly (readonly [number, string])[] = [
  [1, 'PROT_READ'],
  [2, 'PROT_WRITE'],
  [4, 'PROT_EXEC'],
];
export const MAP_FLAGS: readonly (readonly [number, string])[] = [
  [1, 'MAP_SHARED'],
  [2, 'MAP_PRIVATE'],
  [0x10, 'MAP_FIXED'],
  [0x8000, 'MAP_POPULATE'],
];
export function bits(value: bigint, names: readonly (readonly [number, string])[], none = '0'): string {
  const found: string[] = [];
  let rest = value;
  for (const [bit, name] of names)
    if ((rest & BigInt(bit)) !== 0n) {
      found.push(name);
      rest &= ~BigInt(bit);
    }
  if (rest !== 0n) found.push(`0x${rest.toString(16)}`);
  return found.length === 0 ? none : found.join(' | ');
}
