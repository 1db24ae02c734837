/** What the search for causes asks of events that differ, made on one more way along their trace. */
import type { UapiTable } from '../../../hw/uapi/table.ts';
import { Kind, State } from '../../../store/frame.ts';
import type { Change } from '../../change.ts';
import type { EventBytes } from '../../event.ts';
import { emptyState } from '../../state.ts';
import { ended, nameOf } from '../causes/difference-words.ts';
import { KeepingLinks } from '../meaning/kept-links.ts';
import { eventOf, LiveLinks, type Origin } from '../meaning/links.ts';
import type { LiveLane, MakerName } from './lanes.ts';
import type { Before } from './order.ts';

/** Of events of a trace, by their index in the list that was asked with; numbers of events are 0 for none. */
export interface Details {
  /** one of {@link Kind} */
  readonly kinds: Uint8Array;
  readonly errors: Int32Array;
  /** indices in `names` */
  readonly calls: Int32Array;
  readonly names: readonly string[];
  /** 1: it has changed the state */
  readonly changes: Uint8Array;
  /** from 0, -1 not known */
  readonly processes: Int32Array;
  /** the event before it in its thread */
  readonly before: Int32Array;
  /** the event before it in the trace: number, thread, and which of the events of that */
  readonly previous: Int32Array;
  /** what it refers to, as KeptLinks takes it: from here to the next one's */
  readonly linkAt: Int32Array;
  readonly links: Int32Array;
  readonly types: readonly string[];
  /** pairs: a thing, and the event that has ended it */
  readonly ended: Float64Array;
  /** events that have made what is referred to here: number, thread, and which of the events of that */
  readonly makers: Int32Array;
}

/** Calls that change the address spaces and memory which a stream does not follow; see tracking.ts. */
const QUIET_CHANGES = /^(IOMMU_IOAS_(MAP|MAP_FILE|UNMAP)|IOMMU_HWPT_SET_DIRTY_TRACKING|KVM_SET_USER_MEMORY_REGION2?)$/;

export class Detailing {
  /** asks for what a stream refers to, and keeps it */
  readonly links: KeepingLinks;
  readonly #table: UapiTable;
  readonly #types: string[] = [''];
  readonly #seqs: Int32Array;
  #next = 0;
  readonly #kinds: Uint8Array;
  readonly #errors: Int32Array;
  readonly #calls: Int32Array;
  readonly #names = new Map<string, number>();
  readonly #changes: Uint8Array;
  readonly #processes: Int32Array;
  readonly #before: Int32Array;
  readonly #previous: Int32Array;
  readonly #linkAt: Int32Array;
  readonly #ended: number[] = [];
  readonly #makers = new Map<number, MakerName>();

  /** `seqs`: ascending; `table`: that of the names */
  constructor(seqs: Int32Array, table: UapiTable) {
    const column = (): Int32Array => new Int32Array(seqs.length);
    this.#seqs = seqs;
    this.#table = table;
    this.links = new KeepingLinks(new LiveLinks(emptyState()), this.#types);
    this.#kinds = new Uint8Array(seqs.length);
    this.#errors = column();
    this.#calls = column();
    this.#changes = new Uint8Array(seqs.length);
    this.#processes = column().fill(-1);
    this.#before = column();
    this.#previous = new Int32Array(3 * seqs.length);
    this.#linkAt = new Int32Array(seqs.length + 1);
  }

  /** Asked of ascending events. */
  wants(seq: number): boolean {
    // what could not be read has been passed over
    while (this.#next < this.#seqs.length && this.#seqs[this.#next]! < seq) this.#linkAt[++this.#next] = this.links.count;
    return this.#seqs[this.#next] === seq;
  }

  /** Takes an event that was wanted; what it refers to has been asked of `links`. `changes`: what is followed of the state. */
  take(e: EventBytes, lane: LiveLane, previous: Before, changes: readonly Change[], names: (thing: Origin) => MakerName): void {
    const at = this.#next++;
    const seq = this.#seqs[at]!;
    const name = nameOf(e, this.#table);
    let number = this.#names.get(name);
    if (number === undefined) {
      number = this.#names.size;
      this.#names.set(name, number);
    }
    this.#calls[at] = number;
    this.#kinds[at] = e.kind;
    this.#errors[at] = e.error;
    this.#changes[at] = changes.length > 0 || changesQuietly(e, name) ? 1 : 0;
    this.#processes[at] = lane.process.process - 1;
    this.#before[at] = lane.last;
    this.#previous.set([previous.seq, previous.lane, previous.nth], 3 * at);
    const about = this.links.kept.subarray(this.#linkAt[at]!, this.links.count);
    this.#linkAt[at + 1] = this.links.count;
    for (const thing of about) if (thing > 0) this.#makers.set(eventOf(thing), names(thing));
    for (const thing of ended(changes, (uid) => this.links.live.origin(uid))) {
      this.#ended.push(thing, seq);
      this.#makers.set(eventOf(thing), names(thing));
    }
  }

  result(): Details {
    this.wants(Number.POSITIVE_INFINITY);
    return {
      kinds: this.#kinds,
      errors: this.#errors,
      calls: this.#calls,
      names: [...this.#names.keys()],
      changes: this.#changes,
      processes: this.#processes,
      before: this.#before,
      previous: this.#previous,
      linkAt: this.#linkAt,
      links: this.links.kept.slice(0, this.links.count),
      types: this.#types,
      ended: Float64Array.from(this.#ended),
      makers: Int32Array.from([...this.#makers].flatMap(([seq, { lane, nth }]) => [seq, lane, nth])),
    };
  }
}

/** Of what a stream does not fold it is not looked what exactly it has changed. */
function changesQuietly(e: EventBytes, name: string): boolean {
  if (e.state !== State.RETURNED || e.error !== 0) return false;
  return e.kind === Kind.IOCTL ? QUIET_CHANGES.test(name) : e.kind === Kind.MMIO;
}
