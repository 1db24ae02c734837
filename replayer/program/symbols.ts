/** The symbols of a program while it is made, and what they are called. */
import { FILE_KINDS } from '../state.ts';
import type { ProgramSymbol, SymbolSort } from './program.ts';

export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What one calls an object in a variable, by its type. */
const OBJECTS: Readonly<Record<string, string>> = {
  IOAS: 'ioas',
  HWPT_PAGING: 'hwpt',
  HWPT_NESTED: 'nested',
  DEVICE: 'dev',
  ACCESS: 'access',
  FAULT: 'fault',
  VIOMMU: 'viommu',
  VDEVICE: 'vdev',
  VEVENTQ: 'veventq',
  HW_QUEUE: 'hwq',
  SELFTEST: 'stdev',
};

/** Descriptors, by the kind of their file or the role that they were given in. */
const FILES: Readonly<Record<string, string>> = {
  [FILE_KINDS[1]]: 'iommufd',
  VFIO_DEVICE: 'vfio_fd',
  VFIO_GROUP: 'group_fd',
  VFIO_CONTAINER: 'container',
  FAULT: 'fault_fd',
  VEVENTQ: 'veventq_fd',
  ACCESS: 'access_fd',
  DMABUF: 'dmabuf_fd',
  KVM: 'kvm_fd',
  KVM_VM: 'vm_fd',
  KVM_VCPU: 'vcpu_fd',
  EVENTFD: 'eventfd',
  FILE: 'file_fd',
  SOCKET: 'socket_fd',
  MIGRATION: 'migration_fd',
};

const SORTS: Readonly<Record<Exclude<SymbolSort, 'object' | 'fd'>, string>> = {
  memory: 'mem',
  mapping: 'map',
  iova: 'iova',
  offset: 'mmap_offset',
  length: 'mmap_length',
  process: 'pid',
  cookie: 'cookie',
  item: 'pages',
  nothing: 'nothing',
};

function baseName(sort: SymbolSort, type: string): string {
  if (sort === 'object') return OBJECTS[type] ?? 'object';
  if (sort === 'fd') return FILES[type] ?? 'fd';
  return SORTS[sort];
}

type Given = Pick<ProgramSymbol, 'sort' | 'type' | 'recorded' | 'step'> & Partial<ProgramSymbol>;

export class SymbolTable {
  readonly symbols: Mutable<ProgramSymbol>[] = [];

  /** → index */
  make(given: Given): number {
    const index = this.symbols.length;
    this.symbols.push({ name: '', context: 0, process: -1, ended: -1, region: -1, bytes: 0n, ...given, index });
    return index;
  }

  at(index: number): Mutable<ProgramSymbol> {
    return this.symbols[index]!;
  }

  /** Names all: by kind and order. A type that was refined after the symbol was made is taken as it is in the end. */
  name(): void {
    const counts = new Map<string, number>();
    for (const s of this.symbols) {
      const base = baseName(s.sort, s.type);
      const n = (counts.get(base) ?? 0) + 1;
      counts.set(base, n);
      s.name = `${base}${n}`;
    }
  }
}
