import { FileKind, Kind } from '../../store/frame.ts';

/** What is taken out of a trace, sort by sort. */
export const CLASSES = {
  pointers: 'addresses of memory, of the program and of the kernel',
  paths: 'names of files and folders, but those that every machine has',
  arguments: 'arguments of programs, names of tasks',
  data: 'memory of the program that is no struct of the uAPI; what no table knows',
  bdfs: 'places of devices on the PCI bus',
  host: "of the machine: the suffix of the kernel's release, the processor, the spool, text in the configuration",
  notes: 'bookmarks, notes, words in the log: left out',
} as const;
export type ClassName = keyof typeof CLASSES;
export const CLASS_NAMES = Object.keys(CLASSES) as ClassName[];

/** Files whose content is records of the kernel's, or registers of a device. */
const RECORDS: ReadonlySet<number> = new Set([FileKind.FAULT, FileKind.VEVENTQ, FileKind.VFIO_DEVICE]);

/** Whether what an event that is no ioctl has read, written or seen is the kernel's or a device's, and no memory of the program. */
export const hasKnownContent = ({ kind, fileKind }: { readonly kind: number; readonly fileKind: number }): boolean =>
  kind === Kind.QUEUE || kind === Kind.MMIO || RECORDS.has(fileKind);
