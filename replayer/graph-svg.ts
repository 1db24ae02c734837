/** The graph as one SVG: no scripts, no fonts or styles from elsewhere, all text escaped. Layout by dagre. */
import { Graph as Layout, layout } from '@dagrejs/dagre';
import type { Graph, GraphEdge, GraphNode } from './graph.ts';
import { safe } from './graph-text.ts';

export interface SvgOptions {
  /** nodes at most; default 1500. A graph that is larger is refused: its layout would take minutes and help nobody */
  readonly maxNodes?: number;
}

/** Why a graph cannot be drawn. */
export class GraphTooLarge extends Error {
  readonly nodes: number;
  constructor(nodes: number, limit: number) {
    super(`the graph has ${nodes} nodes, SVG is drawn up to ${limit}: choose a context, or another format`);
    this.name = 'GraphTooLarge';
    this.nodes = nodes;
  }
}

const DEFAULT_LIMIT = 1500;
/** From so many nodes on, the quicker ranking is taken. */
const MANY = 150;
/** Monospace, 11 px: a character is 0.6 em wide. */
const FONT = 11;
const CHAR = FONT * 0.6;
const LINE = 14;
const PAD = 8;
const MARGIN = 12;
/** Lines and characters of a label; what is longer is cut. */
const MAX_CHARS = 60;

interface Box {
  readonly node: GraphNode;
  readonly lines: readonly string[];
  width: number;
  height: number;
  x: number;
  y: number;
}

interface Line {
  readonly edge: GraphEdge;
  points?: readonly { readonly x: number; readonly y: number }[];
  x?: number;
  y?: number;
}

/** XML 1.0 text: markup escaped, characters that XML does not know replaced. */
function xmlText(text: string): string {
  return safe(text)
    .replace(/[\ud800-\udfff\ufffe\uffff]/gu, '\ufffd')
    .replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

const cut = (t: string): string => ([...t].length > MAX_CHARS ? `${[...t].slice(0, MAX_CHARS - 1).join('')}…` : t);

function place(graph: Graph): {
  readonly boxes: Map<string, Box>;
  readonly lines: Line[];
  readonly width: number;
  readonly height: number;
} {
  const g = new Layout({ multigraph: true });
  const ranker = graph.nodes.length > MANY ? 'longest-path' : 'network-simplex';
  g.setGraph({ rankdir: 'BT', ranker, nodesep: 24, ranksep: 36, edgesep: 8, marginx: MARGIN, marginy: MARGIN });
  const boxes = new Map<string, Box>();
  for (const node of graph.nodes) {
    const lines = [node.label, ...node.details, ...(node.inferred ? ['inferred'] : [])].map(cut);
    const chars = Math.max(...lines.map((l) => [...l].length));
    const box = { node, lines, width: Math.ceil(chars * CHAR) + 2 * PAD, height: lines.length * LINE + 2 * PAD, x: 0, y: 0 };
    boxes.set(node.key, box);
    g.setNode(node.key, box);
  }
  const lines: Line[] = [];
  graph.edges.forEach((edge, i) => {
    if (!boxes.has(edge.from) || !boxes.has(edge.to)) return;
    const width = edge.label === '' ? 0 : Math.ceil(edge.label.length * CHAR);
    const line: Line = { edge };
    lines.push(line);
    g.setEdge(
      edge.from,
      edge.to,
      Object.assign(line, { width, height: width === 0 ? 0 : LINE, labelpos: 'c', weight: edge.kind === 'parent' ? 2 : 1 }),
      `e${i}`,
    );
  });
  layout(g);
  const size = g.graph() as { readonly width?: number; readonly height?: number };
  return { boxes, lines, width: Math.ceil(finite(size.width)), height: Math.ceil(finite(size.height)) };
}

/** An empty graph has no extent: dagre says -Infinity. */
const finite = (n: number | undefined): number => (n !== undefined && Number.isFinite(n) ? n : 2 * MARGIN);
const px = (n: number): string => String(Math.round(n * 10) / 10);

function boxSvg({ node, lines, width, height, x, y }: Box): string {
  const left = x - width / 2;
  const top = y - height / 2;
  const classes = ['node', node.kind, ...(node.type ? [node.type] : []), ...(node.inferred ? ['inferred'] : [])].join(' ');
  const round = node.kind === 'process' ? 12 : node.kind === 'object' ? 3 : 0;
  const texts = lines.map((l, i) => {
    const weight = i === 0 ? ' class="name"' : '';
    return `<text${weight} x="${px(left + PAD)}" y="${px(top + PAD + FONT + i * LINE)}">${xmlText(l)}</text>`;
  });
  return `<g class="${classes}"><rect x="${px(left)}" y="${px(top)}" width="${px(width)}" height="${px(height)}" rx="${round}"/>${texts.join('')}</g>`;
}

function lineSvg({ edge, points, x, y }: Line): string {
  if (!points || points.length === 0 || edge.kind === 'in') return '';
  const path = points.map((p, i) => `${i === 0 ? 'M' : 'L'}${px(p.x)} ${px(p.y)}`).join('');
  const label =
    edge.label === '' || x === undefined || y === undefined
      ? ''
      : `<text class="label" x="${px(x)}" y="${px(y + FONT / 3)}" text-anchor="middle">${xmlText(edge.label)}</text>`;
  return `<g class="edge ${edge.kind}"><path d="${path}" marker-end="url(#arrow)"/>${label}</g>`;
}

const STYLE = `
svg{background:#fff;color:#222}
text{font:${FONT}px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#222}
.name{font-weight:bold}
rect{fill:#f6f6f6;stroke:#666}
.context rect{fill:#e8e8e8}
.process rect,.mapping rect{fill:#fff8e1;stroke:#b08800}
.IOAS rect{fill:#e3f2e1;stroke:#3d8b37}
.HWPT_PAGING rect,.HWPT_NESTED rect{fill:#e1ecf7;stroke:#2f6db3}
.VIOMMU rect,.VDEVICE rect,.HW_QUEUE rect,.VEVENTQ rect{fill:#f1e6f7;stroke:#7b3fa0}
.DEVICE rect,.SELFTEST rect{fill:#fbe9e1;stroke:#b3552f}
.inferred rect{stroke-dasharray:4 3}
path{fill:none;stroke:#555}
#arrow path{fill:#555;stroke:none}
.attached path{stroke-width:2}
.names path{stroke-dasharray:1 3}
.fd path,.mmap path{stroke-dasharray:5 3}
.label{font-size:10px;stroke:#fff;stroke-width:3px;paint-order:stroke}
`;

/** A complete SVG document. Throws {@link GraphTooLarge}. */
export function renderSvg(graph: Graph, options: SvgOptions = {}): string {
  const limit = options.maxNodes ?? DEFAULT_LIMIT;
  if (graph.nodes.length > limit) throw new GraphTooLarge(graph.nodes.length, limit);
  const { boxes, lines, width, height } = place(graph);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<title>iommufd objects after event ${graph.seq}</title>`,
    `<style>${STYLE}</style>`,
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>',
    ...lines.map(lineSvg).filter((l) => l !== ''),
    ...[...boxes.values()].map(boxSvg),
    '</svg>',
    '',
  ].join('\n');
}
