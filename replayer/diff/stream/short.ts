/**
 * Most events say what they say in plain words: they are added up by a recipe (recipes.ts), without folding and without
 * meaning.ts; the sums are the same.
 */
import { FileKind, Kind, MMIO_SOURCE_SHIFT, PartKind, State } from '../../../store/frame.ts';
import type { AreaTree } from '../../areas.ts';
import type { EventBytes } from '../../event.ts';
import { readU64, type U64 } from '../../u64.ts';
import { named } from '../meaning/forms.ts';
import { type Origin, OTHER, whichOf } from '../meaning/links.ts';
import { calledAs } from '../meaning/meaning.ts';
import { ARGS, OFFSET_WORD, WORDS } from '../meaning/sink.ts';
import type { About } from './about.ts';
import { type Lanes, type LiveLane, type MakerName, NO_MAKER } from './lanes.ts';
import { Do, type Recipe, type Recipes, type Terms } from './recipes.ts';
import { ANSWERED, bytesOfWords, mixHigh, mixLow, NO_TYPE, Sort, saltOf, typeHash } from './sums.ts';
import type { Thing, Tracking } from './tracking.ts';

/** What the stream says of an event; the same object each time. */
export class Said {
  seq = 0;
  lane!: LiveLane;
  askedLow = 0;
  askedHigh = 0;
  answeredLow = 0;
  answeredHigh = 0;
  linkedLow = 0;
  linkedHigh = 0;
  /** it has made something that later events may name */
  maker: MakerName | undefined = undefined;
  /** kind, file and call as one number; of IOMMU_TEST_CMD with its operation */
  called = 0;
  /** where the stream was asked for them: of each thing that it is about place (a number for name and place), its name in two words, and which it is */
  readonly links: number[] = [];
  /** in the same case: what it has to do with */
  readonly about: About;

  constructor(about: About) {
    this.about = about;
  }
}

const ERRNO = saltOf(WORDS.errno, 0, Sort.VALUE);
const RET = saltOf(WORDS.ret, 0, Sort.VALUE);
const RET_CHOSEN = saltOf(WORDS.ret, 0, Sort.CHOSEN);
const ON = saltOf(WORDS.file, 0, Sort.LINK);
/** an ioctl on a descriptor: the sum of what it is on, by type alone */
const [ON_LOW, ON_HIGH] = [mixLow(ON, NO_TYPE, 0), mixHigh(ON, NO_TYPE, 0)];
const FILE_TYPE = typeHash('file');
const AREA_TYPE = typeHash('area');
const MAPPING_TYPE = typeHash('mapping');
const CALL = saltOf(WORDS.call, 0, Sort.VALUE);
const KIND_OF_FILE = saltOf(WORDS.kindOfFile, 0, Sort.VALUE);
const HOW = saltOf(named('how'), 0, Sort.VALUE);
const MAPPING = saltOf(named('mapping'), 0, Sort.LINK);
const OFFSET = saltOf(named('offset'), 0, Sort.VALUE);
const WINDOW = saltOf(WORDS.window, 0, Sort.VALUE);
const MMIO_OFFSET = OFFSET_WORD[Kind.MMIO]!;
/** Words of ARGS that an access tells. */
const ACCESS = ARGS[Kind.MMIO]!.flatMap((name, i) => (name === null ? [] : [{ word: i, salt: saltOf(name, 0, Sort.VALUE) }]));
const ACCESS_IN_PLACE = ACCESS.filter(({ word }) => word !== MMIO_OFFSET);
const MMIO_RETURNED = Kind.MMIO | (State.RETURNED << 8);
const HOW_MASK = (1 << MMIO_SOURCE_SHIFT) - 1;
const EBADF = 9;

export class ShortWay {
  readonly #said: Said;
  readonly #recipes: Recipes;
  readonly #tracking: Tracking;
  readonly #lanes: Lanes;
  readonly #links: boolean;
  /** sums of what is being told; fields of this object, for they are added to in every step */
  #low = 0;
  #high = 0;
  /** the object or file that was named last, in whose space addresses are */
  #space: Thing | undefined;

  /** `links`: the things that an event is about are listed, too */
  constructor(said: Said, recipes: Recipes, tracking: Tracking, lanes: Lanes, links: boolean) {
    this.#said = said;
    this.#recipes = recipes;
    this.#tracking = tracking;
    this.#lanes = lanes;
    this.#links = links;
  }

  /** Puts into `said` what the event at `offset` says. `e` has been read of some event of the buffer. false: it has to go the long way */
  event(words: Uint32Array, offset: number, seq: number, e: EventBytes): boolean {
    const at = offset >> 2;
    if ((words[at + 3]! & 0xffff) === MMIO_RETURNED) return this.#access(words, at, e, seq);
    const recipe = this.#recipes.find(words, at, e);
    const tracking = this.#tracking;
    if (recipe === null || tracking.state.before.size > 0) return false;
    const error = words[at + 13]! | 0;
    if (error !== 0 && (recipe.nestedOut || error === EBADF)) return false;
    if (error === 0 && recipe.quiet === 'no') return false;
    if (recipe.choice >= 0 && (words[at + recipe.choice]! & 1) === 0) return false;
    const pid = words[at + 8]!;
    const file = words[at + 11]!;
    e.pid = pid;
    e.file = file;
    const on = tracking.fd(e, pid, words[at + 10]! | 0);
    if (file === 0 || on.file !== file || on.kind !== words[at + 3]! >>> 24) return false;
    const said = this.#said;
    said.lane = this.#lanes.at(pid, words[at + 9]!, seq);
    this.#begin(seq);
    this.#about(ON, on.name, on.origin, on.what !== 0);
    this.#low = (recipe.askLow + ON_LOW) | 0;
    this.#high = (recipe.askHigh + ON_HIGH) | 0;
    this.#space = undefined;
    if (!this.#add(recipe.ask, words, at, e, 0, 0, recipe.quiet === 'unmap')) return false;
    this.#asked();
    this.#put(ERRNO, error, 0);
    if (error === 0) this.#result(recipe, words, at);
    // an answer names the object of the question
    if (!this.#add(recipe.answer, words, at, e, ANSWERED, error, false)) return false;
    this.#answered();
    said.called = recipe.called;
    if (this.#links) said.about.end(on.kind === FileKind.IOMMUFD, false);
    return true;
  }

  /** A load or store of a mapped region: it changes nothing here. */
  #access(words: Uint32Array, at: number, e: EventBytes, seq: number): boolean {
    const pid = words[at + 8]!;
    const fd = words[at + 10]! | 0;
    const request = words[at + 12]!;
    const fileKind = words[at + 3]! >>> 24;
    const { state } = this.#tracking;
    const args = at + 16;
    const one = (words[args]! & 0xff) === PartKind.ARGS && words[args + 1]! >= 40 && words[at + 2] === 88 + words[args + 1]!;
    if (!one || state.before.size > 0 || (request >>> MMIO_SOURCE_SHIFT < 2 && !state.processes.has(pid))) return false;
    e.pid = pid;
    e.file = words[at + 11]!;
    const [low, high] = [words[args + 6]!, words[args + 7]!];
    const through = fileKind === FileKind.IOMMUFD ? this.#tracking.through(e, low, high) : undefined;
    if (through === null) return false;
    const said = this.#said;
    said.lane = this.#lanes.at(pid, words[at + 9]!, seq);
    this.#begin(seq);
    this.#put(CALL, Kind.MMIO, 0);
    this.#put(KIND_OF_FILE, fileKind, 0);
    this.#put(HOW, request & HOW_MASK, 0);
    if (fd >= 0) {
      this.#put(ON, NO_TYPE, 0);
      const on = this.#tracking.fd(e, pid, fd);
      this.#about(ON, on.name, on.origin, true);
    }
    if (through !== undefined) {
      this.#put(MAPPING, MAPPING_TYPE, 0);
      this.#about(MAPPING, through.name, OTHER, true);
      this.#put(OFFSET, high * 0x1_0000_0000 + low - through.base, 0);
    }
    const window = fileKind === FileKind.VFIO_DEVICE ? this.#tracking.live.window(e, readU64(e.view, (args + 8) << 2)) : undefined;
    if (window !== undefined) {
      this.#put(WINDOW, window.index, 0);
      this.#put(OFFSET, window.offset, 0);
    }
    const count = words[args + 1]! >> 3;
    for (const { word, salt } of through === undefined && window === undefined ? ACCESS : ACCESS_IN_PLACE) {
      if (word >= count) break;
      const w = args + 6 + 2 * word;
      this.#put(salt, words[w]! | 0, words[w + 1]! | 0);
    }
    this.#asked();
    this.#put(ERRNO, words[at + 13]! | 0, 0);
    this.#put(RET, words[at + 14]! | 0, words[at + 15]! | 0);
    this.#answered();
    said.called = calledAs(Kind.MMIO, fileKind, request & HOW_MASK, 0);
    return true;
  }

  #begin(seq: number): void {
    const said = this.#said;
    said.linkedLow = said.linkedHigh = this.#low = this.#high = 0;
    if (!this.#links) return;
    said.links.length = 0;
    said.about.begin(seq);
  }
  #asked(): void {
    this.#said.askedLow = this.#low;
    this.#said.askedHigh = this.#high;
    this.#low = this.#high = 0;
  }
  #answered(): void {
    this.#said.answeredLow = this.#low;
    this.#said.answeredHigh = this.#high;
  }

  #put(salt: number, low: number, high: number): void {
    this.#low = (this.#low + mixLow(salt, low, high)) | 0;
    this.#high = (this.#high + mixHigh(salt, low, high)) | 0;
  }

  #result(recipe: Recipe, words: Uint32Array, at: number): void {
    const [low, high] = [words[at + 14]! | 0, words[at + 15]! | 0];
    if (recipe.chosenRet || (recipe.positiveChosen && low > 0)) this.#put(RET_CHOSEN, 1, 0);
    else this.#put(RET, low, high);
  }

  /** Adds the terms up; false: this event needs the long way. `side`: see {@link ANSWERED}; with `error` only what it has changed. */
  #add(t: Terms, words: Uint32Array, at: number, e: EventBytes, side: number, error: number, unmaps: boolean): boolean {
    const { doing } = t;
    for (let k = 0; k < doing.length; k++) {
      const w = at + t.word[k]!;
      const value = words[w]! | 0;
      const what = doing[k]!;
      if (what === Do.BYTES) {
        if (t.mask[k] !== 0 && (words[at + t.shift[k]!]! & t.mask[k]!) === 0) continue;
        const count = t.other[k]!;
        this.#put(t.salt[k]!, bytesOfWords(words, w, count, e.buffer), count);
        continue;
      }
      if (error !== 0 && !changed(t, k, words, at, w)) continue;
      switch (what) {
        case Do.WORD:
          if (value !== 0) this.#put(t.salt[k]!, value, 0);
          continue;
        case Do.IOVA:
        case Do.LONG: {
          const upper = words[w + 1]! | 0;
          if ((value | upper) === 0) continue;
          const areas = what === Do.IOVA ? this.#space?.areas : undefined;
          if (areas !== undefined && unmaps) return false;
          if (areas === undefined || !this.#inArea(t, k, areas, readU64(e.view, w << 2), side)) this.#put(t.salt[k]!, value, upper);
          continue;
        }
        case Do.SMALL: {
          const small = (value >>> t.shift[k]!) & t.mask[k]!;
          if (small !== 0) this.#put(t.salt[k]!, small, 0);
          continue;
        }
        case Do.PRESENT:
        case Do.PRESENT_LONG:
          if (value !== 0 || (what === Do.PRESENT_LONG && words[w + 1] !== 0)) this.#put(t.salt[k]!, 1, 0);
          continue;
        case Do.OBJECT:
          if (value !== 0 && !this.#object(t, k, e, value, side, error)) return false;
          continue;
        default:
          this.#file(t, k, e, value, side);
      }
    }
    return true;
  }

  #object(t: Terms, k: number, e: EventBytes, value: number, side: number, error: number): boolean {
    const thing = this.#tracking.object(e, e.file, value >>> 0);
    this.#space = thing;
    // an id that the state does not know may make it known
    if (!thing.known && error === 0) return false;
    if (thing.type === NO_TYPE && thing.origin === 0) this.#put(t.salt[k]!, value, 0);
    else {
      this.#put(t.linkSalt[k]!, thing.type, 0);
      this.#about(t.linkSalt[k]! ^ side, thing.name, thing.origin, true);
    }
    return true;
  }

  #file(t: Terms, k: number, e: EventBytes, value: number, side: number): void {
    if (value < 0) {
      this.#put(t.salt[k]!, value, 0);
      return;
    }
    const thing = this.#tracking.fd(e, e.pid, value);
    this.#put(t.linkSalt[k]!, FILE_TYPE, 0);
    this.#about(t.linkSalt[k]! ^ side, thing.name, thing.origin, value !== 0);
    this.#space = thing;
  }

  /** An address in an area that the kernel placed; false: it is in none. */
  #inArea(t: Terms, k: number, areas: AreaTree, iova: U64, side: number): boolean {
    const found = this.#tracking.live.chosenIn(areas, iova);
    if (found === undefined) return false;
    this.#put(t.linkSalt[k]!, AREA_TYPE, 0);
    this.#put(t.salt[k]!, found.offset, 0);
    this.#about(t.linkSalt[k]! ^ side, this.#tracking.nameOf(found.origin), found.origin, true);
    return true;
  }

  #about(salt: number, name: MakerName, origin: Origin, there: boolean): void {
    const said = this.#said;
    const { low, high } = name === NO_MAKER ? name : this.#lanes.named(name);
    const which = whichOf(origin);
    if (this.#links) {
      said.links.push(salt, low ^ which, high, which);
      said.about.add(origin, there);
    }
    said.linkedLow = (said.linkedLow + mixLow(salt, low, which)) | 0;
    said.linkedHigh = (said.linkedHigh + mixHigh(salt, high, which)) | 0;
  }
}

/** Has a failed call changed the field? */
function changed(t: Terms, k: number, words: Uint32Array, at: number, w: number): boolean {
  const o = t.other[k]!;
  if (o < 0) return false;
  if (t.doing[k] === Do.SMALL) return (((words[w]! ^ words[at + o]!) >>> t.shift[k]!) & t.mask[k]!) !== 0;
  const long = t.doing[k] === Do.LONG || t.doing[k] === Do.IOVA || t.doing[k] === Do.PRESENT_LONG;
  return words[w] !== words[at + o] || (long && words[w + 1] !== words[at + o + 1]);
}
