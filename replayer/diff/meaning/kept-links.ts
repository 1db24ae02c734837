/** Links as they were found while a log was folded, for another telling of the same event. */
import type { EventBytes } from '../../event.ts';
import type { U64 } from '../../u64.ts';
import type { Chosen, Links, LiveLinks, Origin, Window } from './links.ts';

/** Types of objects that were met, by a number of this program's; shared by all readings. */
const TYPES: string[] = [''];
function typeNumber(type: string, types: string[]): number {
  const known = types.indexOf(type);
  return known >= 0 ? known : types.push(type) - 1;
}

/** In the place of an offset: there is nothing. */
const NOTHING = 0;

/** Links as they were found before, in the order in which they were asked for. */
export class KeptLinks implements Links {
  readonly #links: Int32Array;
  readonly #types: readonly string[];
  #next = 0;

  /** `types`: those of the {@link KeepingLinks} */
  constructor(links: Int32Array, types: readonly string[] = TYPES) {
    this.#links = links;
    this.#types = types;
  }
  #take(): number {
    return this.#links[this.#next++] ?? 0;
  }
  object(): { readonly origin: Origin; readonly type: string } {
    return { origin: this.#take(), type: this.#types[-1 - this.#take()] ?? '' };
  }
  file(): Origin {
    return this.#take();
  }
  mapping(): Origin {
    return this.#take();
  }
  chosen(): Chosen | undefined {
    const offset = this.#take();
    return offset === NOTHING ? undefined : { origin: this.#take(), offset: -1 - offset };
  }
  region(): Chosen | undefined {
    return this.chosen();
  }
  access(): Chosen | undefined {
    return this.chosen();
  }
  cookie(): Chosen | undefined {
    return this.chosen();
  }
  item(): Chosen | undefined {
    return this.chosen();
  }
  window(): Window | undefined {
    const offset = this.#take();
    return offset === NOTHING ? undefined : { offset: -1 - offset, index: -1 - this.#take() };
  }
}

/** Passes links on and writes them down: what {@link KeptLinks} gives again. Origins are positive, other numbers n stand as -1 - n. */
export class KeepingLinks implements Links {
  /** those of all events, one after the other */
  kept = new Int32Array(1 << 16);
  count = 0;
  /** what is asked; of another moment where the reading goes on elsewhere */
  live: LiveLinks;
  readonly #types: string[];

  /** `types`: numbers of types, which it adds to */
  constructor(live: LiveLinks, types: string[] = TYPES) {
    this.live = live;
    this.#types = types;
  }
  #keep(n: number): void {
    if (this.count === this.kept.length) {
      const larger = new Int32Array(this.kept.length * 2);
      larger.set(this.kept);
      this.kept = larger;
    }
    this.kept[this.count++] = n;
  }
  object(e: EventBytes, id: number): { readonly origin: Origin; readonly type: string } {
    const found = this.live.object(e, id);
    this.#keep(found.origin);
    this.#keep(-1 - typeNumber(found.type, this.#types));
    return found;
  }
  file(e: EventBytes, fd: number): Origin {
    const origin = this.live.file(e, fd);
    this.#keep(origin);
    return origin;
  }
  mapping(e: EventBytes, address: U64): Origin {
    const origin = this.live.mapping(e, address);
    this.#keep(origin);
    return origin;
  }
  chosen(e: EventBytes, space: number, iova: U64): Chosen | undefined {
    return this.#kept(this.live.chosen(e, space, iova));
  }
  region(e: EventBytes, offset: U64): Chosen | undefined {
    return this.#kept(this.live.region(e, offset));
  }
  access(e: EventBytes, address: U64): Chosen | undefined {
    return this.#kept(this.live.access(e, address));
  }
  cookie(e: EventBytes, cookie: number): Chosen | undefined {
    return this.#kept(this.live.cookie(e, cookie));
  }
  item(e: EventBytes, item: number): Chosen | undefined {
    return this.#kept(this.live.item(e, item));
  }
  window(e: EventBytes, offset: U64): Window | undefined {
    const found = this.live.window(e, offset);
    this.#keep(found === undefined ? NOTHING : -1 - found.offset);
    if (found !== undefined) this.#keep(-1 - found.index);
    return found;
  }
  #kept(found: Chosen | undefined): Chosen | undefined {
    this.#keep(found === undefined ? NOTHING : -1 - found.offset);
    if (found !== undefined) this.#keep(found.origin);
    return found;
  }
}
