import type { LiveLinks } from '../diff/meaning/links.ts';
import type { EventBytes } from '../event.ts';
import type { Context } from '../state.ts';
import type { Fields } from './fields.ts';
import type { Memory } from './memory.ts';
import type { Step } from './program.ts';
import type { Mutable } from './symbols.ts';
import type { Known, Things } from './things.ts';

/** A step while it is made. Its lists are the shared empty one until there is something in them. */
export type Draft = Mutable<Step>;

/** Adds to a list of a step. */
export function added<T>(list: readonly T[], item: T): readonly T[] {
  if (list.length === 0) return [item];
  (list as T[]).push(item);
  return list;
}

export class Numbers {
  protected readonly things: Things;
  protected readonly memory: Memory;
  protected readonly fields: Fields;
  protected readonly links: LiveLinks;
  protected e!: EventBytes;
  protected draft!: Draft;
  protected context: Context | undefined;
  protected image = 0;

  constructor(things: Things, memory: Memory, fields: Fields, links: LiveLinks) {
    this.things = things;
    this.memory = memory;
    this.fields = fields;
    this.links = links;
  }

  protected begin(e: EventBytes, draft: Draft, image: number): void {
    this.e = e;
    this.draft = draft;
    this.image = image;
    this.context = this.things.context(e);
  }

  /** Place of a word of ARGS. */
  protected word(i: number): number {
    return this.e.args.start + 8 * i;
  }

  /** The file of the access that IOMMU_TEST_CMD names by its descriptor. */
  protected accessFile(): number {
    const e = this.e;
    return this.things.state.fds.get(e.pid)?.get(e.s32(e.in, 8)) ?? 0;
  }

  protected use(at: number, width: 1 | 2 | 4 | 8, known: Known): void {
    const { symbol, addend, ended } = known;
    this.draft.uses = added(this.draft.uses, { at: at - this.e.offset, width, symbol, addend, ended });
  }
  protected echo(at: number, width: 1 | 2 | 4 | 8, known: Known): void {
    const { symbol, addend, ended } = known;
    this.draft.echoes = added(this.draft.echoes, { at: at - this.e.offset, width, symbol, addend, ended });
  }
  protected define(at: number, width: 1 | 2 | 4 | 8, symbol: number): void {
    this.draft.defines = added(this.draft.defines, { at: at - this.e.offset, width, symbol });
  }
}
