/** What is asked by calls that are no ioctls, and what the recorder found out by itself. */
import { FileKind, Kind, MMIO_SOURCE_SHIFT, PartKind } from '../../../store/frame.ts';
import type { EventBytes } from '../../event.ts';
import type { U64 } from '../../u64.ts';
import { type Name, named } from './forms.ts';
import type { Links } from './links.ts';
import { ARGS, OFFSET_WORD, type Sink, WORDS } from './sink.ts';
import type { Withholding } from './withheld.ts';

/** Where a recorder that is itself the kernel keeps its files: another folder each time. */
const MODEL_FOLDER = /^.*\.spool\.model\//s;
/** Texts that are told. A path of /proc and the names of sockets have numbers in them that say nothing. */
const TEXTS: Partial<Readonly<Record<number, readonly [slot: number, name: Name][]>>> = {
  [Kind.OPEN]: [[0, named('path')]],
  [Kind.EXEC]: [[0, named('path')]],
  [Kind.START]: [[0, named('exe')]],
  [Kind.FD]: [[0, named('link')]],
  [Kind.REGION]: [[0, named('name')]],
};
const CMDQV = 'cmdqv';

export function askPlain(e: EventBytes, links: Links, to: Sink, withholding: Withholding): void {
  // who saw an access is no part of it
  to.value(named('how'), e.kind === Kind.MMIO ? e.request & ((1 << MMIO_SOURCE_SHIFT) - 1) : e.request);
  const word = tellPlace(e, links, to) ? OFFSET_WORD[e.kind] : undefined;
  ARGS[e.kind]?.forEach((name, i) => {
    if (name !== null && i !== word && e.args.bytes >= 8 * (i + 1)) to.value(name, e.arg(i));
  });
  for (const [slot, name] of TEXTS[e.kind] ?? []) tellText(e, slot, name, to, withholding);
  switch (e.kind) {
    case Kind.MMAP:
      tellOffset(e, links, to);
      break;
    case Kind.MUNMAP:
    case Kind.MREMAP:
      to.link(named('addr'), links.mapping(e, e.arg(0)), 'mapping', e.arg(0));
      break;
    case Kind.RETURN:
      // of a call that is not in the log
      to.chosen(WORDS.call, e.arg(0));
      break;
    case Kind.QUEUE: {
      const { origin, type } = links.object(e, Number(e.arg(0)));
      to.link(named('object'), origin, type, e.arg(0));
      break;
    }
    case Kind.EXIT:
      to.value(named('status'), e.ret);
      break;
    case Kind.WRITE:
      break;
    default:
      if (e.in.bytes >= 0) withholding.bytes(to, e.kind === Kind.MMIO ? [] : ['data'], WORDS.data, e.buffer, e.in.start, e.in.bytes);
  }
}

/** Where in a file something is read, written or accessed: by what the kernel said is there. → whether that is known */
function tellPlace(e: EventBytes, links: Links, to: Sink): boolean {
  const word = OFFSET_WORD[e.kind];
  if (word === undefined || e.args.bytes < 8 * (word + 1)) return false;
  if (e.kind === Kind.MMIO && e.fileKind === FileKind.IOMMUFD) {
    const place = links.access(e, e.arg(0));
    if (place === undefined) return false;
    to.link(named('mapping'), place.origin, 'mapping', e.arg(0));
    to.value(named('offset'), place.offset);
    return true;
  }
  return e.fileKind === FileKind.VFIO_DEVICE && tellWindow(e, e.arg(word), links, to);
}

function tellWindow(e: EventBytes, offset: U64, links: Links, to: Sink): boolean {
  const window = links.window(e, offset);
  if (window === undefined) return false;
  to.value(WORDS.window, window.index);
  to.value(named('offset'), window.offset);
  return true;
}

/** What is mapped. Of an iommufd the kernel chose where a region begins; a device says where its regions are. */
function tellOffset(e: EventBytes, links: Links, to: Sink): void {
  const name = named('offset');
  if (e.fileKind !== FileKind.IOMMUFD) {
    if (e.fileKind !== FileKind.VFIO_DEVICE || !tellWindow(e, e.arg(4), links, to)) to.value(name, e.arg(4));
    return;
  }
  const region = links.region(e, e.arg(4));
  if (region === undefined) to.chosen(name, e.arg(4));
  else {
    to.link(named('region'), region.origin, 'VIOMMU', e.arg(4));
    to.value(name, region.offset);
  }
}

function tellText(e: EventBytes, slot: number, name: Name, to: Sink, withholding: Withholding): void {
  if (e.part(PartKind.TEXT, slot) === undefined) return;
  const text = e.text(slot);
  const unnumbered = (of: string): string => of.replace(MODEL_FOLDER, '').replace(/\d+/g, '#');
  if (e.kind === Kind.REGION) text === CMDQV ? withholding.plain(to, name, text) : withholding.note(to, name, unnumbered(text));
  else if (e.kind === Kind.START) withholding.path(to, name, text, (path) => path.slice(path.lastIndexOf('/') + 1));
  else withholding.path(to, name, text, e.kind === Kind.FD ? unnumbered : (path) => path);
}
