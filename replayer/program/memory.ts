/** Memory that calls point to: from what single calls say to regions. Addresses are numbers: those of programs are below 2^52. */
import type { Extent, Region, Use } from './program.ts';
import type { Mutable, SymbolTable } from './symbols.ts';

/** ok: somebody could read, write or pin it. pinned: the kernel could. fault: nobody could. asked: nobody is known to have looked. */
export type Touch = 'ok' | 'pinned' | 'fault' | 'asked';

const PAGE = 4096;
const HUGE = 2 ** 21;
const MOST_ALIGN = 2 ** 30;
/** Beyond all programs: on x86 they end at 2^47 or 2^56, on arm64 at 2^48 or 2^52. */
const END = 2 ** 52;
/** The kernel gives nobody the first page. */
const BEGIN = PAGE;
/** A call that asks for more and fails is not believed to have had it: 64 GiB. */
const MOST_ASKED = 2 ** 36;

interface Interval {
  start: number;
  end: number;
}

/** Page ranges, by first page: the furthest end. */
type Touches = Map<number, number>;

interface Image {
  readonly touches: Readonly<Record<Touch, Touches>>;
  /** by first page: alignment that matters */
  readonly aligned: Map<number, number>;
  readonly huge: number[];
  regions: Interval[];
  /** index of the region of `regions[0]` in the program */
  firstRegion: number;
}

const down = (a: number): number => a - (a % PAGE);
const up = (a: number): number => down(a + PAGE - 1);

/** Could a program have memory there? What is not is told as it is: it names nothing anywhere. */
export const isAddress = (address: number | bigint): boolean => address >= BEGIN && address < END;

export class Memory {
  readonly #images = new Map<number, Image>();
  /** uses whose symbol and addend are still to come; the image and the address of each */
  readonly #uses: Mutable<Use>[] = [];
  readonly #image: number[] = [];
  readonly #address: number[] = [];
  /** programs point to few places, often */
  readonly #addends = new Map<number, bigint>();

  #imageOf(index: number): Image {
    let image = this.#images.get(index);
    if (image === undefined) {
      const touches = { ok: new Map(), pinned: new Map(), fault: new Map(), asked: new Map() };
      image = { touches, aligned: new Map(), huge: [], regions: [], firstRegion: 0 };
      this.#images.set(index, image);
    }
    return image;
  }

  /** `bytes` may be anything that a call says. */
  touch(index: number, address: number, bytes: number, how: Touch): void {
    if (!isAddress(address)) return;
    const image = this.#imageOf(index);
    const believed = bytes > 0 && address + bytes <= END && (how === 'ok' || how === 'pinned' || bytes <= MOST_ASKED) ? bytes : 1;
    const start = down(address);
    const end = up(address + believed);
    const all = image.touches[how];
    if ((all.get(start) ?? 0) < end) all.set(start, end);
    const align = alignment(address, believed);
    if ((image.aligned.get(start) ?? PAGE) < align) image.aligned.set(start, align);
    if (believed >= HUGE && address % HUGE === 0) image.huge.push(address);
  }

  /** A number that is an address in a touched page: `finish` says of which region. */
  pending(use: Mutable<Use>, image: number, address: number): void {
    this.#uses.push(use);
    this.#image.push(image);
    this.#address.push(address);
  }

  /** Makes the regions and their symbols, and puts them into the uses. */
  finish(symbols: SymbolTable): Region[] {
    const regions: Region[] = [];
    for (const [index, image] of [...this.#images].sort((a, b) => a[0] - b[0])) {
      image.firstRegion = regions.length;
      const { touches } = image;
      const all = Object.values(touches).flatMap(intervals);
      image.regions = merged(all);
      const some = Object.fromEntries(Object.entries(touches).map(([how, t]) => [how, merged(intervals(t))])) as Record<Touch, Interval[]>;
      const there = merged([...some.ok, ...some.pinned]);
      const notes = image.regions.map(() => ({ align: PAGE, huge: false }));
      for (const [start, align] of image.aligned) {
        const note = notes[floor(image.regions, start)]!;
        note.align = Math.max(note.align, align);
      }
      for (const start of image.huge) notes[floor(image.regions, start)]!.huge = true;
      const told = { there, pinned: some.pinned, fault: some.fault };
      for (const [i, r] of image.regions.entries())
        regions.push(regionOf(r, { index: regions.length, image: index, ...notes[i]! }, told, symbols));
    }
    for (const [i, use] of this.#uses.entries()) this.#resolve(use, this.#address[i]!, this.#images.get(this.#image[i]!)!, regions);
    return regions;
  }

  #resolve(use: Mutable<Use>, address: number, image: Image, regions: readonly Region[]): void {
    const at = floor(image.regions, address);
    const offset = address - image.regions[at]!.start;
    let addend = this.#addends.get(offset);
    if (addend === undefined) {
      addend = BigInt(offset);
      this.#addends.set(offset, addend);
    }
    use.symbol = regions[image.firstRegion + at]!.symbol;
    use.addend = addend;
  }
}

interface Told {
  /** of the whole image, ascending, none touching another */
  readonly there: readonly Interval[];
  readonly pinned: readonly Interval[];
  readonly fault: readonly Interval[];
}

interface Noted {
  readonly index: number;
  readonly image: number;
  readonly align: number;
  readonly huge: boolean;
}

function regionOf(r: Interval, { index, image, align, huge }: Noted, told: Told, symbols: SymbolTable): Region {
  const there = within(told.there, r);
  const holes = without(within(told.fault, r), there);
  const symbol = symbols.make({ sort: 'memory', type: '', recorded: BigInt(r.start), step: -1, process: image, region: index });
  const nothing = there.length === 0 && holes.length === 1 && holes[0]!.start === r.start && holes[0]!.end === r.end;
  return {
    index,
    symbol,
    image,
    start: BigInt(r.start),
    bytes: BigInt(r.end - r.start),
    align: BigInt(align),
    backing: there.length > 0 ? 'memory' : nothing ? 'nothing' : 'unknown',
    holes: holes.map((h): Extent => ({ offset: BigInt(h.start - r.start), bytes: BigInt(h.end - h.start) })),
    pinned: within(told.pinned, r).length > 0,
    mayBeHuge: huge,
  };
}

/** How an address is aligned, not beyond what it is asked for. */
function alignment(address: number, bytes: number): number {
  let align = PAGE;
  while (align < MOST_ALIGN && align < bytes && address % (2 * align) === 0) align *= 2;
  return align;
}

const intervals = (touches: Touches): Interval[] => [...touches].map(([start, end]) => ({ start, end }));

/** Ascending; those that overlap or meet are one. */
function merged(all: readonly Interval[]): Interval[] {
  const sorted = [...all].sort((a, b) => a.start - b.start);
  const out: Interval[] = [];
  for (const { start, end } of sorted) {
    const last = out.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else out.push({ start, end });
  }
  return out;
}

/** Index of the last interval that begins at or before an address; -1 none. */
function floor(all: readonly Interval[], address: number): number {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (all[middle]!.start <= address) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Those in a region; a region is made of whole ones. */
function within(all: readonly Interval[], r: Interval): Interval[] {
  const found: Interval[] = [];
  for (let i = Math.max(0, floor(all, r.start)); i < all.length && all[i]!.start < r.end; i++)
    if (all[i]!.start >= r.start) found.push(all[i]!);
  return found;
}

/** What is left of intervals without others; both ascending. */
function without(all: readonly Interval[], others: readonly Interval[]): Interval[] {
  const out: Interval[] = [];
  let next = 0;
  for (const { start, end } of all) {
    let at = start;
    while (next < others.length && others[next]!.end <= start) next++;
    for (let i = next; i < others.length && others[i]!.start < end; i++) {
      const o = others[i]!;
      if (o.start > at) out.push({ start: at, end: o.start });
      at = Math.max(at, o.end);
    }
    if (at < end) out.push({ start: at, end });
  }
  return out;
}
