/** The object graph at the cursor as a tree, with marks for what the event under the cursor did. Pure. */
import type { AreaTree } from '../../replayer/areas.ts';
import type { Change } from '../../replayer/change.ts';
import type { Graph, GraphEdge, GraphNode } from '../../replayer/graph.ts';
import type { U64 } from '../../replayer/u64.ts';
import { objectName } from '../../replayer/words.ts';
import { clean, type Line, line, type Span, span } from '../term/text.ts';
import type { Glyphs } from '../term/theme.ts';
import { areaLines } from './areas.ts';
import type { Mark } from './effects.ts';

export interface ObjectsView {
  readonly lines: readonly Line[];
  /** of each line that is a node's own its key in the graph */
  readonly keys: readonly (string | undefined)[];
  /** the first line that the event has to do with; -1 none */
  readonly marked: number;
}

/** Edges that place a node below another, in order of preference. */
const RANK: Partial<Readonly<Record<GraphEdge['kind'], number>>> = { parent: 0, mmap: 0, in: 2, attached: 3 };

interface Tree {
  readonly roots: readonly GraphNode[];
  readonly children: ReadonlyMap<string, readonly GraphNode[]>;
  /** edges that place nothing: named at the end of a node's line */
  readonly others: ReadonlyMap<string, readonly GraphEdge[]>;
}

/** `areas`: the IOVA map of an IOAS, by the key of its node; undefined for all else. */
export function objectsView(
  graph: Graph,
  changes: readonly Change[],
  glyphs: Glyphs,
  areas: (node: GraphNode) => AreaTree | undefined = () => undefined,
): ObjectsView {
  const marks = marksOf(changes);
  const tree = treeOf(graph);
  const touched = touchedAreas(changes);
  const labels = new Map(graph.nodes.map((n) => [n.key, n.label]));
  const lines: Line[] = [];
  const keys: (string | undefined)[] = [];
  let marked = -1;
  const draw = (node: GraphNode, own: string, lead: string): void => {
    const mark = marks.get(node.key);
    if (mark !== undefined && marked < 0) marked = lines.length;
    keys[lines.length] = node.key;
    lines.push({ ...line(markSpan(mark, glyphs), span(own, 'border'), ...nodeSpans(node, mark, tree, labels, glyphs)), pinned: 1 });
    const below = tree.children.get(node.key) ?? [];
    const map = areas(node);
    if (map !== undefined && map.count > 0) {
      for (const a of areaLines(map, touched.get(node.key) ?? NOTHING, glyphs.ellipsis)) {
        const pipe = below.length > 0 ? glyphs.tree.pipe : glyphs.tree.blank;
        if (a.marked && marks.get(node.key) === undefined && marked < 0) marked = lines.length;
        const token = a.marked ? 'created' : 'dim';
        lines.push({
          ...line(markSpan(a.marked ? 'created' : undefined, glyphs), span(lead + pipe, 'border'), span(a.text, token)),
          pinned: 1,
        });
      }
    }
    below.forEach((child, i) => {
      const last = i === below.length - 1;
      draw(child, lead + (last ? glyphs.tree.last : glyphs.tree.branch), lead + (last ? glyphs.tree.blank : glyphs.tree.pipe));
    });
  };
  for (const root of tree.roots) draw(root, '', '');
  const gone = goneLines(changes, glyphs);
  if (marked < 0 && gone.length > 0) marked = lines.length;
  if (lines.length + gone.length === 0) lines.push(line('  ', span('nothing is open', 'dim')));
  return { lines: [...lines, ...gone], keys, marked };
}

const NOTHING: ReadonlySet<U64> = new Set();

/** First IOVAs of the areas that the event made, by the key of their IOAS. */
function touchedAreas(changes: readonly Change[]): ReadonlyMap<string, ReadonlySet<U64>> {
  const found = new Map<string, Set<U64>>();
  for (const c of changes) {
    if (c.op !== 'area.add') continue;
    const key = `o${c.ioas}`;
    const set = found.get(key);
    if (set === undefined) found.set(key, new Set([c.area.start]));
    else set.add(c.area.start);
  }
  return found;
}

function markSpan(mark: Mark | undefined, glyphs: Glyphs): Span {
  return mark === undefined ? span('  ') : span(`${glyphs[mark]} `, mark);
}

function nodeSpans(node: GraphNode, mark: Mark | undefined, tree: Tree, labels: ReadonlyMap<string, string>, glyphs: Glyphs): Span[] {
  const details = [...node.details, ...(node.inferred ? ['inferred'] : [])].join(', ');
  const others = (tree.others.get(node.key) ?? []).map((e) => `${e.label === '' ? '' : `${e.label} `}${glyphs.arrow} ${labels.get(e.to)}`);
  return [
    span(clean(node.label), mark ?? (node.kind === 'object' ? 'object' : 'strong')),
    ...(details === '' ? [] : [span(`  ${clean(details)}`, 'dim')]),
    ...(others.length === 0 ? [] : [span(`  ${clean(others.join('  '))}`, 'dim')]),
  ];
}

/** Below what each node is drawn. A cycle (a hostile or broken state) is cut where it closes. */
function treeOf(graph: Graph): Tree {
  const nodes = new Map(graph.nodes.map((n) => [n.key, n]));
  const by = new Map<string, GraphEdge>();
  for (const edge of graph.edges) {
    const rank = RANK[edge.kind];
    if (rank === undefined || !nodes.has(edge.from) || !nodes.has(edge.to)) continue;
    const now = by.get(edge.from);
    if ((now === undefined || rank < RANK[now.kind]!) && !leadsTo(by, edge.to, edge.from)) by.set(edge.from, edge);
  }
  const children = new Map<string, GraphNode[]>();
  const others = new Map<string, GraphEdge[]>();
  const push = <V>(map: Map<string, V[]>, key: string, value: V): void => {
    const list = map.get(key);
    if (list === undefined) map.set(key, [value]);
    else list.push(value);
  };
  for (const node of graph.nodes) {
    const edge = by.get(node.key);
    if (edge !== undefined) push(children, edge.to, node);
  }
  for (const edge of graph.edges) if (by.get(edge.from) !== edge && edge.kind !== 'in' && nodes.has(edge.to)) push(others, edge.from, edge);
  return { roots: graph.nodes.filter((n) => !by.has(n.key)), children, others };
}

function leadsTo(by: ReadonlyMap<string, GraphEdge>, key: string, above: string): boolean {
  for (let at: string | undefined = key; at !== undefined; at = by.get(at)?.to) if (at === above) return true;
  return false;
}

/** Which nodes an event touched. What it created stays "created", whatever else it did to it. */
function marksOf(changes: readonly Change[]): ReadonlyMap<string, Mark> {
  const marks = new Map<string, Mark>();
  const change = (key: string): void => {
    if (!marks.has(key)) marks.set(key, 'changed');
  };
  for (const c of changes) {
    switch (c.op) {
      case 'object.create':
        marks.set(`o${c.object.uid}`, 'created');
        break;
      case 'context.begin':
        marks.set(`c${c.context.context}`, 'created');
        break;
      case 'object.set':
        change(`o${c.to.uid}`);
        break;
      case 'area.add':
      case 'area.remove':
        change(`o${c.ioas}`);
        break;
      case 'pin.add':
      case 'pin.remove':
        change(`o${c.pin.access}`);
        break;
      case 'mapping.add':
      case 'mapping.remove':
        if (c.mapping.viommu !== 0) change(`o${c.mapping.viommu}`);
        break;
      case 'context.set':
        change(`c${c.context}`);
        break;
      case 'process':
      case 'fd':
        change(`p${c.pid}`);
        break;
      default:
      // nothing of it is a node
    }
  }
  return marks;
}

/** What ended with this event is not in the graph any more; it is said below it. */
function goneLines(changes: readonly Change[], glyphs: Glyphs): Line[] {
  return changes.flatMap((c) => {
    if (c.op !== 'object.end' && c.op !== 'context.end') return [];
    const name = c.op === 'object.end' ? objectName(c.object) : `context ${c.context.context}`;
    return [{ ...line(markSpan('destroyed', glyphs), span(name, 'destroyed'), span('  ended here', 'dim')), pinned: 1 }];
  });
}
