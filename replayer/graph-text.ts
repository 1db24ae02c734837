/** The graph as a tree for a terminal, as Graphviz dot and as Mermaid. Text from the trace is escaped here. */
import type { Graph, GraphEdge, GraphNode } from './graph.ts';

export interface TextOptions {
  /** plain ASCII instead of box-drawing characters */
  readonly ascii?: boolean;
}

const BOX = { branch: '├─ ', last: '└─ ', line: '│  ', gap: '   ', to: '→' } as const;
const ASCII = { branch: '|- ', last: '`- ', line: '|  ', gap: '   ', to: '->' } as const;

/** Control characters of text from a trace, and those that reorder text, never reach a terminal raw. */
export function safe(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Which edge puts a node below another one: what it stands on comes first. */
const RANK: Readonly<Record<GraphEdge['kind'], number>> = { parent: 0, attached: 3, in: 2, mmap: 0, names: 4, fd: 5 };

interface Placed {
  readonly children: Map<string, string[]>;
  readonly roots: readonly string[];
  /** the edge that placed a node */
  readonly by: Map<string, GraphEdge>;
}

/** Below what each node is drawn. A cycle (a hostile or broken state) is cut where it closes. */
function place(graph: Graph): Placed {
  const by = new Map<string, GraphEdge>();
  const children = new Map<string, string[]>();
  const known = new Set(graph.nodes.map((n) => n.key));
  for (const edge of graph.edges) {
    if (edge.kind === 'fd' || edge.kind === 'names' || !known.has(edge.from) || !known.has(edge.to)) continue;
    const old = by.get(edge.from);
    if ((!old || RANK[edge.kind] < RANK[old.kind]) && !isBelow(by, edge.to, edge.from)) by.set(edge.from, edge);
  }
  const roots: string[] = [];
  for (const { key } of graph.nodes) {
    const edge = by.get(key);
    if (!edge) roots.push(key);
    else children.set(edge.to, [...(children.get(edge.to) ?? []), key]);
  }
  return { children, roots, by };
}

function isBelow(by: ReadonlyMap<string, GraphEdge>, key: string, above: string): boolean {
  for (let at: string | undefined = key; at !== undefined; at = by.get(at)?.to) if (at === above) return true;
  return false;
}

/** A tree: contexts, below them what stands on what; other edges are named at the end of the line. */
export function renderText(graph: Graph, options: TextOptions = {}): string {
  const g = options.ascii ? ASCII : BOX;
  const { children, roots, by } = place(graph);
  const nodes = new Map(graph.nodes.map((n) => [n.key, n]));
  const lines: string[] = [];
  const line = (n: GraphNode): string => {
    const more = graph.edges.filter((e) => e.from === n.key && e !== by.get(n.key) && e.kind !== 'in' && nodes.has(e.to));
    const to = more.map((e) => `${e.label === '' ? '' : `${e.label} `}${g.to} ${nodes.get(e.to)!.label}`);
    const details = [...n.details, ...(n.inferred ? ['inferred'] : [])];
    return safe([n.label, details.length === 0 ? '' : `(${details.join(', ')})`, ...to].filter((t) => t !== '').join('  '));
  };
  const draw = (key: string, lead: string, own: string): void => {
    lines.push(own + line(nodes.get(key)!));
    const below = children.get(key) ?? [];
    below.forEach((child, i) => {
      const last = i === below.length - 1;
      draw(child, lead + (last ? g.gap : g.line), lead + (last ? g.last : g.branch));
    });
  };
  for (const root of roots) draw(root, '', '');
  return lines.length === 0 ? 'nothing is open\n' : `${lines.join('\n')}\n`;
}

const STYLES: Readonly<Record<GraphEdge['kind'], string>> = {
  parent: '',
  attached: 'style=bold',
  names: 'style=dotted',
  fd: 'style=dashed',
  mmap: 'style=dashed',
  in: 'style=invis',
};

const dotText = (t: string): string => `"${safe(t).replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`;

/** A name and its details as a label of lines. */
const labelLines = (n: GraphNode): string[] => [n.label, ...n.details, ...(n.inferred ? ['inferred'] : [])].map(safe);

/** Graphviz. */
export function renderDot(graph: Graph): string {
  const shapes = { context: 'folder', object: 'box', process: 'oval', mapping: 'note' } as const;
  const node = (n: GraphNode): string => {
    const label = labelLines(n).map((l) => l.replace(/\\/g, '\\\\').replace(/"/g, '\\"'));
    return `  ${n.key} [shape=${shapes[n.kind]}${n.inferred ? ' style=dashed' : ''} label="${label.join('\\n')}"];`;
  };
  const edge = (e: GraphEdge): string => {
    const attributes = [STYLES[e.kind], e.label === '' ? '' : `label=${dotText(e.label)}`].filter((a) => a !== '');
    return `  ${e.from} -> ${e.to}${attributes.length === 0 ? '' : ` [${attributes.join(' ')}]`};`;
  };
  return [
    'digraph iommufd {',
    '  rankdir=BT;',
    '  node [fontname="sans-serif" fontsize=10];',
    '  edge [fontname="sans-serif" fontsize=9];',
    ...graph.nodes.map(node),
    ...graph.edges.map(edge),
    '}',
    '',
  ].join('\n');
}

/** Text in a Mermaid label: its own syntax and HTML are written as entities. */
const mermaidText = (t: string): string => safe(t).replace(/[&<>"#;|[\]{}()`\\]/g, (c) => `#${c.charCodeAt(0)};`);

/** A Mermaid flowchart. */
export function renderMermaid(graph: Graph): string {
  const shapes = { context: ['[/', '/]'], object: ['[', ']'], process: ['([', '])'], mapping: ['>', ']'] } as const;
  const arrows = { parent: '-->', attached: '==>', names: '-.->', fd: '-.->', mmap: '-.->', in: '~~~' } as const;
  const node = (n: GraphNode): string => {
    const [open, close] = shapes[n.kind];
    return `  ${n.key}${open}"${labelLines(n).map(mermaidText).join('<br/>')}"${close}`;
  };
  const edge = (e: GraphEdge): string =>
    `  ${e.from} ${arrows[e.kind]}${e.label === '' || e.kind === 'in' ? '' : `|"${mermaidText(e.label)}"|`} ${e.to}`;
  return ['flowchart BT', ...graph.nodes.map(node), ...graph.edges.map(edge), ''].join('\n');
}
