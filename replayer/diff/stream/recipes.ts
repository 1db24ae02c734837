/**
 * Frames of one layout (kind, file, request, parts and their lengths) say things in the same places. A recipe is what meaning.ts
 * does with them, worked out once: words of the frame and how each is added to the sums. Only ioctls with a plain struct have one;
 * everything else goes through meaning.ts itself, and gives the same sums (a test says so).
 */

import { FRAME_HEADER, Kind, PART_HEADER, PartKind, State } from '../../../store/frame.ts';
import type { EventBytes, Span } from '../../event.ts';
import type { Plan } from '../../plan.ts';
import type { Form, How } from '../meaning/forms.ts';
import { calledOf, type Meaning } from '../meaning/meaning.ts';
import { WORDS } from '../meaning/sink.ts';
import { Sort, Sums, saltOf } from './sums.ts';

/** How a word is added. */
export const Do = { WORD: 0, LONG: 1, SMALL: 2, PRESENT: 3, PRESENT_LONG: 4, OBJECT: 5, FILE: 6, BYTES: 7, IOVA: 8 } as const;

export interface Terms {
  readonly doing: Int32Array;
  /** word of the frame */
  readonly word: Int32Array;
  /** answers: the word that the question had there, -1 none; BYTES: their number */
  readonly other: Int32Array;
  /** SMALL: bits to shift, and a mask; BYTES: word of the field, and the bits of it, one of which must be set; mask 0: always */
  readonly shift: Int32Array;
  readonly mask: Int32Array;
  /** of values */
  readonly salt: Int32Array;
  /** of links */
  readonly linkSalt: Int32Array;
}

export interface Recipe {
  /** the words that it is for */
  readonly signature: Int32Array;
  readonly called: number;
  readonly ask: Terms;
  readonly answer: Terms;
  readonly askLow: number;
  readonly askHigh: number;
  /** word of the flags whose bit 0 is 0 where the kernel is to choose; -1 */
  readonly choice: number;
  /** bytes that came back: only of calls that succeeded it is sure that they say something */
  readonly nestedOut: boolean;
  /** a success changes nothing that links depend on, as long as the objects that it names are known; `unmap`: unless it is
   * in a space where the kernel placed areas */
  readonly quiet: 'no' | 'yes' | 'unmap';
  /** the result is a descriptor or the like */
  readonly chosenRet: boolean;
  readonly positiveChosen: boolean;
}

const TEST_CMD = 0x3ba0;
const QUIET: ReadonlySet<string> = new Set([
  'IOMMU_IOAS_MAP',
  'IOMMU_IOAS_MAP_FILE',
  'IOMMU_IOAS_UNMAP',
  'IOMMU_IOAS_IOVA_RANGES',
  'IOMMU_HWPT_SET_DIRTY_TRACKING',
  'IOMMU_HWPT_GET_DIRTY_BITMAP',
  'IOMMU_HWPT_INVALIDATE',
  'KVM_SET_USER_MEMORY_REGION',
  'KVM_SET_USER_MEMORY_REGION2',
]);
/** Parts beyond which there is no recipe. */
const PARTS = 6;
const SLOTS = 1 << 13;
/** Recipes after which all are forgotten: a hostile log may have millions of layouts. */
const MOST = 1 << 12;

export class Recipes {
  readonly #meaning: Meaning;
  readonly #plan: Plan;
  #table: (Recipe | null | undefined)[] = new Array(SLOTS);
  #signatures: (Int32Array | undefined)[] = new Array(SLOTS);
  #count = 0;
  readonly #signature = new Int32Array(4 + 2 * PARTS);
  #length = 0;
  readonly #sums = new Sums(() => ({ low: 0, high: 0 }));

  constructor(meaning: Meaning, plan: Plan) {
    this.#meaning = meaning;
    this.#plan = plan;
  }

  /** The recipe for the frame that begins at word `at`; null: there is none. */
  find(words: Uint32Array, at: number, e: EventBytes): Recipe | null {
    const key = this.#sign(words, at);
    if (key < 0) return null;
    const signature = this.#signature;
    const length = this.#length;
    for (let slot = key & (SLOTS - 1); ; slot = (slot + 1) & (SLOTS - 1)) {
      const known = this.#signatures[slot];
      if (known === undefined) {
        if (this.#count++ >= MOST) {
          this.#table = new Array(SLOTS);
          this.#signatures = new Array(SLOTS);
          this.#count = 0;
          return this.find(words, at, e);
        }
        e.read(e.buffer, e.offset);
        const recipe = this.#compile(e, signature.slice(0, length));
        this.#signatures[slot] = signature.slice(0, length);
        this.#table[slot] = recipe;
        return recipe;
      }
      if (known.length !== length) continue;
      let i = 0;
      while (i < length && known[i] === signature[i]) i++;
      if (i === length) return this.#table[slot]!;
    }
  }

  /** Takes the words that a layout is known by. → a hash of them, -1: no recipe */
  #sign(words: Uint32Array, at: number): number {
    const s = this.#signature;
    const head = words[at + 3]!;
    if ((head & 0xffff) !== (Kind.IOCTL | (State.RETURNED << 8))) return -1;
    const size = words[at + 2]! >> 2;
    s[0] = head;
    let h = Math.imul(head, 0x9e37_79b1);
    s[1] = words[at + 12]!;
    h = Math.imul(h ^ s[1]!, 0x85eb_ca6b);
    s[2] = 0;
    let n = 3;
    const end = at + size;
    for (let p = at + (FRAME_HEADER >> 2); p + (PART_HEADER >> 2) <= end; ) {
      if (n >= 3 + 2 * PARTS) return -1;
      const bytes = words[p + 1]!;
      const next = p + (PART_HEADER >> 2) + Math.ceil(bytes / 8) * 2;
      if (next > end) return -1;
      s[n] = words[p]!;
      s[n + 1] = bytes;
      if (s[1] === TEST_CMD && (s[n]! & 0xff) === PartKind.IN && bytes >= 8) s[2] = words[p + (PART_HEADER >> 2) + 1]!;
      h = Math.imul(h ^ s[n]!, 0xc2b2_ae35) ^ (h >>> 15);
      h = Math.imul(h ^ bytes, 0x9e37_79b1);
      n += 2;
      p = next;
    }
    h = Math.imul(h ^ s[2]!, 0x85eb_ca6b);
    this.#length = n;
    return (h ^ (h >>> 16)) & 0x7fff_ffff;
  }

  #compile(e: EventBytes, signature: Int32Array): Recipe | null {
    const command = this.#meaning.command(e);
    const forms = command === undefined ? undefined : this.#meaning.forms.command(command);
    if (command === undefined || forms === undefined || e.in.bytes < 0) return null;
    if (e.in.bytes > forms.struct.size || e.out.bytes > forms.struct.size || e.fd < 0) return null;
    const maker = new Maker(e, this.#meaning.withholds('data'));
    const op = forms.arms.get(e.u32(e.in, 4));
    let nestedOut = false;
    for (const f of forms.forms) {
      if (f.field.arm !== undefined && f.field.arm !== op?.arm) continue;
      if (f.input) {
        maker.field(maker.ask, e.in, f, op !== undefined && f.field.ref?.[0] === 'OP' ? op.id : f.how);
        if (!maker.nested(maker.ask, f, PartKind.NESTED_IN)) return null;
      }
      if (e.out.bytes < 0) continue;
      if (f.output) maker.field(maker.answer, e.out, f, f.how);
      if (f.field.nested === undefined) continue;
      if (e.part(PartKind.NESTED_OUT, f.offset) !== undefined) nestedOut = true;
      if (!maker.nested(maker.answer, f, PartKind.NESTED_OUT)) return null;
    }
    if (maker.impossible) return null;
    const sums = this.#sums;
    sums.begin();
    sums.value(WORDS.call, e.kind);
    sums.value(WORDS.kindOfFile, e.fileKind);
    sums.value(forms.name, 1);
    const test = command.name === 'IOMMU_TEST_CMD';
    const calm = test ? this.#plan.ops[e.u32(e.in, 4)] === undefined || e.u32(e.in, 4) === 3 : QUIET.has(command.name);
    return {
      signature,
      called: calledOf(e, command),
      ask: maker.ask.terms(),
      answer: maker.answer.terms(),
      askLow: sums.askedLow,
      askHigh: sums.askedHigh,
      choice: forms.choice < 0 || forms.choice + 4 > e.in.bytes ? -1 : (e.in.start - e.offset + forms.choice) >> 2,
      nestedOut,
      quiet: !calm ? 'no' : command.name === 'IOMMU_IOAS_UNMAP' ? 'unmap' : 'yes',
      chosenRet: command.returns !== undefined && command.returns.fd !== undefined,
      positiveChosen: test,
    };
  }
}

class TermList {
  readonly rows: number[][] = [];
  add(doing: number, word: number, other: number, shift: number, mask: number, salt: number, linkSalt: number): void {
    this.rows.push([doing, word, other, shift, mask, salt, linkSalt]);
  }
  terms(): Terms {
    const column = (k: number): Int32Array => Int32Array.from(this.rows, (row) => row[k]!);
    return {
      doing: column(0),
      word: column(1),
      other: column(2),
      shift: column(3),
      mask: column(4),
      salt: column(5),
      linkSalt: column(6),
    };
  }
}

/** Only behind pointers, or in calls that are rare. */
const RARE: ReadonlySet<How> = new Set(['offset', 'log2', 'handle', 'cookie', 'item', 'window']);

class Maker {
  readonly ask = new TermList();
  readonly answer = new TermList();
  impossible = false;
  readonly #e: EventBytes;
  /** bytes that no struct is in are not told: that is counted elsewhere */
  readonly #withholds: boolean;

  constructor(e: EventBytes, withholds: boolean) {
    this.#e = e;
    this.#withholds = withholds;
  }

  field(to: TermList, span: Span, f: Form, how: How): void {
    if (how === 'skip') return;
    if (RARE.has(how)) this.impossible = true;
    const e = this.#e;
    for (let i = 0; i < f.count; i++) {
      const offset = f.offset + i * f.width;
      if (offset + f.width > span.bytes) {
        // reads beyond the end are 0, and 0 is a descriptor
        if (how === 'file') this.impossible = true;
        continue;
      }
      const at = span.start - e.offset + offset;
      if (f.width >= 4 && at % 4 !== 0) this.impossible = true;
      const value = saltOf(f.name, i, Sort.VALUE);
      const link = saltOf(f.name, i, Sort.LINK);
      const other = span === e.out && offset + f.width <= e.in.bytes ? (e.in.start - e.offset + offset) >> 2 : -1;
      // a failed call tells what it has changed, all values of a field together
      if (span === e.out && (f.count > 1 || other < 0)) this.impossible = true;
      // which of several address spaces: the rare calls that have two
      if (how === 'iova' && (f.space >= 0 || f.width !== 8)) this.impossible = true;
      if (how === 'iova') to.add(Do.IOVA, at >> 2, other, 0, 0, value, link);
      else if (how === 'created' || how === 'address')
        to.add(f.width === 8 ? Do.PRESENT_LONG : Do.PRESENT, at >> 2, other, 0, 0, saltOf(f.name, i, Sort.CHOSEN), 0);
      else if (how === 'object' || how === 'file') {
        if (f.width !== 4) this.impossible = true;
        to.add(how === 'object' ? Do.OBJECT : Do.FILE, at >> 2, other, 0, 0, value, link);
      } else if (f.width < 4) {
        if ((at % 4) + f.width > 4) this.impossible = true;
        to.add(Do.SMALL, at >> 2, other, (at % 4) * 8, f.width === 1 ? 0xff : 0xffff, value, 0);
      } else to.add(f.width === 8 ? Do.LONG : Do.WORD, at >> 2, other, 0, 0, value, 0);
    }
    if ((how === 'created' || how === 'address') && f.width < 4) this.impossible = true;
  }

  /** Bytes behind a pointer; structs there have no recipe. false: impossible */
  nested(to: TermList, f: Form, kind: typeof PartKind.NESTED_IN | typeof PartKind.NESTED_OUT): boolean {
    const { nested } = f.field;
    const e = this.#e;
    const span = e.part(kind, f.offset);
    if (nested === undefined || span === undefined || nested.dir === 'mapped') return true;
    if (nested.of === 'struct' || nested.of === 'payload' || nested.of === 'entries') return false;
    const at = span.start - e.offset;
    if (nested.of !== 'bitmap' && this.#withholds) return false;
    const reads = kind === PartKind.NESTED_IN ? f.reads : undefined;
    const [flags, mask] = [reads === undefined ? 0 : e.in.start - e.offset + reads.at, reads?.mask ?? 0];
    if (reads !== undefined && (reads.at + 4 > e.in.bytes || flags % 4 !== 0)) return false;
    to.add(Do.BYTES, at >> 2, span.bytes, flags >> 2, mask, saltOf(f.name, 0, Sort.BYTES), 0);
    return true;
  }
}
