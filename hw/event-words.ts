/** The words for what a frame says in numbers: kinds, files, calls, arguments. Meanings: recorder/shim/irr_frame.h. */
import { targetOfFileKind, type UapiTable } from './uapi/table.ts';

// Numbers of store/frame.ts (hw imports nothing of ours); tui/cli/frame-numbers.test.ts holds the two together.
export const KIND_NAMES = [
  'pad',
  'ioctl',
  'open',
  'close',
  'dup',
  'mmap',
  'munmap',
  'mremap',
  'read',
  'write',
  'fork',
  'exec',
  'start',
  'exit',
  'fd',
  'sendfd',
  'return',
  'gap',
  'part',
  'mmio',
  'queue',
  'region',
] as const;
export type KindName = (typeof KIND_NAMES)[number];

/** What an open file is, as `8<iommufd#1>` prints it; index = FileKind of store/frame.ts. */
export const FILE_NAMES = [
  '',
  'iommufd',
  'vfio-device',
  'vfio-group',
  'vfio',
  'fault',
  'veventq',
  'access',
  'dmabuf',
  'kvm',
  'kvm-vm',
  'kvm-vcpu',
] as const;

/** Number of the kind of file that the model calls so (FileKind of hw/iommufd/state.ts; hw/scenario has those of KVM); 0: none that frames know. */
export const fileNumber = (name: string): number =>
  Math.max(0, (FILE_NAMES as readonly string[]).indexOf(name === 'container' ? 'vfio' : name));

export const FRAME_NUMBERS = {
  state: { ENTERED: 1, RETURNED: 2 },
  flag: { VFORK: 1, OBSERVED: 2, SIGNAL: 4 },
  part: { IN: 1, OUT: 2, NESTED_IN: 3, NESTED_OUT: 4, ARGS: 5, TEXT: 6 },
  partFlag: { TRUNCATED: 1, FAULT: 2, LATE: 4 },
} as const;

/** Names of the call by the frame's `request`, per kind; index 0 = unknown. */
const SYSCALL: Partial<Record<KindName, readonly string[]>> = {
  open: ['open', 'open', 'openat', 'creat', 'openat2'],
  close: ['close', 'close', 'close_range', 'closefrom'],
  dup: ['dup', 'dup', 'dup2', 'dup3', 'fcntl', 'fcntl'],
  read: ['read', 'read', 'pread64', 'readv', 'preadv'],
  write: ['write', 'write', 'pwrite64', 'writev', 'pwritev'],
  fork: ['fork', 'fork', 'vfork', 'posix_spawn'],
  exit: ['exit', 'exit', '_exit', 'exit'],
  exec: ['execve'],
  sendfd: ['sendmsg', 'sendmsg'],
};
/** Kinds whose `request` is printed by name as something else than the call: how a process started, a descriptor was found. */
const HOW: ReadonlySet<string> = new Set(['start', 'fd', 'gap', 'queue', 'region']);

/** Loads and stores of mapped regions: low bits of `request`; above them is who saw it. */
const MMIO = ['mmio_read', 'mmio_write', 'mmio_rmw'] as const;
/** Hardware queues, read beside the program. */
const QUEUE_READ = 'queue_read';
export const MMIO_HOW = { LOAD: 0, STORE: 1, BOTH: 2 } as const;
export const MMIO_SOURCES = ['trapped', 'KVM exit', 'mmiotrace', 'rwmmio'] as const;
export const MMIO_FLAG = { STEPPED: 1, EXCLUSIVE: 2, RELEASED: 4, COALESCED: 8 } as const;

/** Does the call's name (or what is printed in its place) say what `request` is? */
export function isNamedRequest(event: { readonly kind: number; readonly request: number }): boolean {
  const kind = kindName(event.kind) as KindName;
  const { request } = event;
  if (kind === 'mmio') return (request & 15) < MMIO.length && request >>> 4 < MMIO_SOURCES.length;
  if (kind === 'ioctl' || HOW.has(kind)) return true;
  const names = SYSCALL[kind];
  if (names === undefined || names.length === 1) return request === 0;
  return request > 0 && names.indexOf(names[request] ?? '', 1) === request;
}

/** Every name that the calls beside ioctl have. */
export const syscallNames = (): string[] => [...new Set([...Object.values(SYSCALL).flat(), ...MMIO, QUEUE_READ])];

export const FOUND = ['found', 'inherited', 'received', 'created', 'in use', 'pidfd_getfd'] as const;
export const QUEUE = ['unknown', 'alloc', 'destroy', 'prod', 'error', 'periodic'] as const;
export const REGION = ['unknown', 'other', 'cmdqv'] as const;
export const START = ['start', 'exec', 'fork'] as const;
export const GAP = ['unknown', 'full', 'hole', 'confined'] as const;

/** The name of an event's kind; `kind_99` for one that this program does not know. */
export function kindName(kind: number): string {
  return KIND_NAMES[kind] ?? `kind_${kind}`;
}

/** The name under which a call is counted and filtered: the ioctl's name, or the system call's. */
export function callName(event: { readonly kind: number; readonly fileKind: number; readonly request: number }, table: UapiTable): string {
  const kind = kindName(event.kind);
  if (kind === 'ioctl' || (kind === 'return' && event.request !== 0)) {
    const target = targetOfFileKind(event.fileKind);
    const known = target === undefined ? undefined : table.command(target, event.request);
    return known?.name ?? `0x${event.request.toString(16)}`;
  }
  if (kind === 'mmio') return MMIO[event.request & 15] ?? kind;
  if (kind === 'queue') return QUEUE_READ;
  return SYSCALL[kind as KindName]?.[event.request] ?? kind;
}

/** How a word of ARGS is meant. fd: signed 32 bits; the rest is unsigned. */
export type WordForm = 'hex' | 'dec' | 'fd' | 'open' | 'prot' | 'map' | 'mremap' | 'close_range';
export interface ArgWord {
  readonly name: string;
  readonly form: WordForm;
}
const row = (text: string): readonly ArgWord[] =>
  text.split(' ').map((word) => ({ name: word.split(':')[0]!, form: (word.split(':')[1] ?? 'hex') as WordForm }));

/** Words of the ARGS part, by kind of event. */
export const ARG_WORDS: Readonly<Record<string, readonly ArgWord[]>> = {
  ioctl: row('arg'),
  open: row('dirfd:fd flags:open mode:hex'),
  close: row('first:dec last:dec flags:close_range'),
  dup: row('newfd:fd flags:open'),
  mmap: row('addr length prot:prot flags:map offset alias'),
  munmap: row('addr length'),
  mremap: row('addr old_length length flags:mremap new_addr'),
  read: row('count:dec offset'),
  write: row('count:dec offset'),
  start: row('ppid:dec start_time:dec inherited:dec'),
  fd: row('rdev inode:dec peer_pid:dec peer_fd:fd via_fd:fd'),
  sendfd: row('socket_fd:fd socket_inode:dec'),
  return: row('call_seq:dec'),
  mmio: row('address offset width:dec ip flags stored'),
  queue: row('object:dec index:dec log2size:dec first'),
  region: row('address length virtual'),
};

/** Whether an event may have so many words: those at the end that only some have need not be there. */
export function usualWords(event: { readonly kind: number; readonly request: number }, count: number): boolean {
  const kind = kindName(event.kind);
  const names = ARG_WORDS[kind]?.length ?? 0;
  if (kind === 'mmap' || kind === 'start') return count === names || count === names - 1;
  return count === (kind === 'mmio' && (event.request & 15) !== MMIO_HOW.BOTH ? names - 1 : names);
}

/** Texts, by kind of event and slot. */
export const TEXTS: Readonly<Record<string, readonly string[]>> = {
  open: ['path'],
  exec: ['path', 'argv'],
  start: ['exe', 'argv', 'comm', 'cwd'],
  fd: ['path'],
  gap: ['note'],
  region: ['name'],
  mmio: ['by', 'task'],
};
