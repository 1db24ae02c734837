/** What a report of a comparison says about the events themselves: their text, and the objects that they are about. */
import { argsOf } from '../../replayer/access-place.ts';
import { type GraphNode, graphOf } from '../../replayer/graph.ts';
import { MentionReader } from '../../replayer/query-fields.ts';
import { contextOfFile, type SessionState } from '../../replayer/state.ts';
import { Timeline } from '../../replayer/timeline.ts';
import { type WholeCalls, wholeCalls } from '../../replayer/whole-calls.ts';
import { objectName } from '../../replayer/words.ts';
import { Kind } from '../../store/frame.ts';
import { eventsAt, type SelectedEvent } from './events.ts';
import type { Piece } from './output.ts';
import { eventPieces, eventStyle } from './show.ts';
import type { Opened } from './trace.ts';

/** An event in its trace. */
export interface EventFacts {
  readonly seq: number;
  /** as `show` prints it */
  readonly line: readonly Piece[];
  /** the objects that it names, as they are before it: "VIOMMU 6 (type SELFTEST, 1 user)" */
  readonly objects: readonly string[];
  /** what it makes: "VIOMMU 6" */
  readonly made: readonly string[];
}

/** Contexts with more objects are not described: every node of them would be made anew for each event. */
const MOST_OBJECTS = 20_000;

export class SideFacts {
  readonly opened: Opened;
  readonly #whole: WholeCalls;
  readonly #mentions: MentionReader;
  #timeline: Timeline | undefined;

  constructor(opened: Opened) {
    this.opened = opened;
    this.#whole = wholeCalls(opened.reader);
    this.#mentions = new MentionReader(opened.table);
  }

  /** Ascending numbers are quick. */
  at(seq: number): EventFacts {
    this.#timeline ??= new Timeline(this.#whole, { table: this.opened.table });
    const [event] = eventsAt(this.opened, [seq], this.#timeline, this.#whole);
    const made = event!.changes.flatMap((c) => (c.op === 'object.create' ? [objectName(c.object)] : []));
    const before = event!.before;
    const style = eventStyle(this.opened, () => before, { style: 'abbrev', resolve: true, full: false });
    return { seq, line: eventPieces(event!.frame, style), objects: before === undefined ? [] : this.#objects(event!, before), made };
  }

  /** The line alone, without what only the state knows. */
  line(seq: number): readonly Piece[] {
    const frame = this.#whole.frame(seq);
    const style = eventStyle(this.opened, () => undefined, { style: 'abbrev', resolve: false, full: false });
    return frame === undefined ? [String(seq)] : eventPieces(frame, style);
  }

  #objects({ frame }: SelectedEvent, before: SessionState): string[] {
    const call = frame.kind === Kind.RETURN ? this.opened.reader.frame(Number(argsOf(frame)[0] ?? 0n)) : undefined;
    const context = contextOfFile(before, (call ?? frame).file);
    if (context === undefined) return [];
    const ids = new Set<number>();
    const wanted: number[] = [];
    const said: string[] = [];
    for (const { id, created } of this.#mentions.mentions(frame, call)) {
      if (created || ids.has(id)) continue;
      ids.add(id);
      if (context.ids.has(id)) wanted.push(id);
      else if (frame.error !== 0) {
        const ended = context.ended.get(id);
        said.push(ended === undefined ? `no object ${id}` : `${ended.type} ${id} ended at event ${ended.seq}`);
      }
    }
    const file = before.files.get((call ?? frame).file);
    const own = file === undefined || file.object === 0 ? undefined : context.objects.get(file.object)?.id;
    if (own !== undefined && own !== 0 && !ids.has(own)) wanted.push(own);
    if (wanted.length === 0 || context.objects.size > MOST_OBJECTS) return said;
    const graph = graphOf(before, { contexts: [context.context], processes: false, mappings: false, table: this.opened.table });
    const nodes = wanted.flatMap((id) => graph.nodes.filter((n) => n.kind === 'object' && n.id === id));
    return [...nodes.map(nodeText), ...said];
  }
}

const nodeText = (n: GraphNode): string => {
  const details = [...n.details, ...(n.inferred ? ['inferred'] : [])];
  return `${n.label}${details.length === 0 ? '' : ` (${details.join(', ')})`}`;
};
