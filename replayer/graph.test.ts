import { describe, expect, test } from 'vitest';
import { uapiTable } from '../hw/uapi/table.ts';
import { FileKind } from '../store/frame.ts';
import { foldInto } from './fold.ts';
import { type Graph, graphOf } from './graph.ts';
import { GraphTooLarge, renderSvg } from './graph-svg.ts';
import { renderDot, renderMermaid, renderText } from './graph-text.ts';
import { longs, Script, words } from './script.ts';
import { emptyState, type SessionState } from './state.ts';

const table = uapiTable('linux-7.2');
const SELFTEST = 0xdead_beef;

function nested(exe = '/usr/bin/vmm'): SessionState {
  const s = new Script(table, 4711);
  s.start(1, 1, exe);
  s.open(8);
  s.ioctl(8, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  s.ioctl(8, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: 1, user_va: 0x10000, length: 0x10000, iova: 0x100_0000 });
  s.test(8, 'MOCK_DOMAIN', 1, {}, { out_stdev_id: 2, out_idev_id: 3, out_hwpt_id: 4 });
  s.ioctl(8, 'IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 }, { out_hwpt_id: 5 });
  const data = Buffer.concat([words(1, 1), longs(0x1000, 0x2000)]);
  const viommu = { type: SELFTEST, dev_id: 3, hwpt_id: 5, data_len: 24, data_uptr: 8 };
  s.ioctl(8, 'IOMMU_VIOMMU_ALLOC', viommu, { out_viommu_id: 6 }, { nestedOut: { data_uptr: data } });
  s.ioctl(8, 'IOMMU_VDEVICE_ALLOC', { viommu_id: 6, dev_id: 3, virt_id: 0x99 }, { out_vdevice_id: 7 });
  s.ioctl(8, 'IOMMU_HWPT_ALLOC', { dev_id: 3, pt_id: 6, data_type: 0xdead, data_len: 4 }, { out_hwpt_id: 8 });
  s.test(8, 'MOCK_DOMAIN_REPLACE', 2, { pt_id: 8 }, { pt_id: 8 });
  s.ioctl(8, 'IOMMU_VEVENTQ_ALLOC', { viommu_id: 6, type: 0xbeef_beef, veventq_depth: 4 }, { out_veventq_id: 4, out_veventq_fd: 9 });
  s.found(9, FileKind.VEVENTQ);
  const queue = { viommu_id: 6, type: SELFTEST, nesting_parent_iova: 0x100_0000, length: 0x1000 };
  s.ioctl(8, 'IOMMU_HW_QUEUE_ALLOC', { ...queue, index: 0 }, { out_hw_queue_id: 9 });
  s.mmap(8, 0x7f00_0000, 0x2000, 0x1000);
  return foldInto(emptyState(), s.source(), table);
}

describe('the graph', () => {
  test('as a tree', () => {
    expect(`\n${renderText(graphOf(nested(), { table }))}`).toMatchInlineSnapshot(`
      "
      context 1  (IOMMUFD file 1)
      ├─ IOAS 1  (1 area, 3 users)
      │  └─ HWPT_PAGING 5  (NEST_PARENT, 2 users)  device → DEVICE 3
      │     └─ VIOMMU 6  (type SELFTEST, mmap 0x1000+0x2000, 6 users)  device → DEVICE 3
      │        ├─ VDEVICE 7  (virtual id 0x99, 1 user)  device → DEVICE 3
      │        ├─ HWPT_NESTED 8  (data SELFTEST, 2 users)  device → DEVICE 3
      │        ├─ VEVENTQ 4  (type SELFTEST, depth 4, 0 read, 2 users)
      │        ├─ HW_QUEUE 9  (type SELFTEST, index 0, 0x1000000+0x1000, 1 user)
      │        └─ mmap of 4711  (0x7f000000+0x2000)
      ├─ SELFTEST 2  (1 user)  device → DEVICE 3
      └─ DEVICE 3  (mock, 3 users)  → HWPT_NESTED 8
      process 4711  (/usr/bin/vmm)  fd 8 → context 1  fd 9 → VEVENTQ 4
      "
    `);
  });

  test('as a tree in ASCII, one context, objects only', () => {
    const text = renderText(graphOf(nested(), { contexts: [1], processes: false, mappings: false }), { ascii: true });
    expect(text).toMatch(/^[\n\x20-\x7e]*$/);
    expect(text).toContain('`- ');
    expect(text).not.toContain('process');
    expect(renderText(graphOf(nested(), { contexts: [2] }))).toBe('nothing is open\n');
  });

  test('edges: who stands on what', () => {
    const { nodes, edges } = graphOf(nested());
    const label = (key: string): string => nodes.find((n) => n.key === key)!.label;
    const said = edges.map((e) => `${label(e.from)} ${e.kind} ${label(e.to)}`);
    for (const line of [
      'HWPT_PAGING 5 parent IOAS 1',
      'VIOMMU 6 parent HWPT_PAGING 5',
      'VIOMMU 6 names DEVICE 3',
      'VDEVICE 7 parent VIOMMU 6',
      'VDEVICE 7 parent DEVICE 3',
      'HWPT_NESTED 8 parent VIOMMU 6',
      'DEVICE 3 attached HWPT_NESTED 8',
      'VEVENTQ 4 parent VIOMMU 6',
      'HW_QUEUE 9 parent VIOMMU 6',
      'process 4711 fd context 1',
      'process 4711 fd VEVENTQ 4',
      'mmap of 4711 mmap VIOMMU 6',
      'IOAS 1 in context 1',
    ]) {
      expect(said).toContain(line);
    }
  });

  test('as dot and as Mermaid', () => {
    const graph = graphOf(nested());
    const dot = renderDot(graph);
    expect(dot).toMatch(/^digraph iommufd \{\n/);
    expect(dot).toContain('[shape=box label="VIOMMU 6\\ntype 0xdeadbeef\\nmmap 0x1000+0x2000\\n6 users"];');
    const mermaid = renderMermaid(graph);
    expect(mermaid).toMatch(/^flowchart BT\n/);
    expect(mermaid.split('\n').filter((l) => l.includes('-->'))).toHaveLength(graph.edges.filter((e) => e.kind === 'parent').length);
  });

  test('as SVG: well-formed, nothing from elsewhere, every box inside', () => {
    const graph = graphOf(nested());
    const svg = renderSvg(graph);
    expect(tagsOf(svg)).toBe('');
    expect(svg).not.toMatch(/<script|href|url\((?!#)|@import/);
    const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg)!.map(Number) as [number, number, number];
    const rects = [...svg.matchAll(/<rect x="([-\d.]+)" y="([-\d.]+)" width="([\d.]+)" height="([\d.]+)"/g)].map((m) =>
      m.slice(1).map(Number),
    );
    expect(rects).toHaveLength(graph.nodes.length);
    rects.forEach(([x, y, w, h], i) => {
      expect(x! >= 0 && y! >= 0 && x! + w! <= width && y! + h! <= height).toBe(true);
      for (const [x2, y2, w2, h2] of rects.slice(i + 1)) {
        expect(x! + w! <= x2! || x2! + w2! <= x! || y! + h! <= y2! || y2! + h2! <= y!).toBe(true);
      }
    });
    expect(renderSvg(graph)).toBe(svg);
  });

  test('an empty graph is drawn, a huge one refused', () => {
    const empty = graphOf(emptyState());
    expect(tagsOf(renderSvg(empty))).toBe('');
    expect(renderText(empty)).toBe('nothing is open\n');
    expect(() => renderSvg(graphOf(nested()), { maxNodes: 3 })).toThrow(GraphTooLarge);
  });
});

/** What is open or closed wrongly in an XML text; '' where it is well-formed, as far as tags and text go. */
function tagsOf(xml: string): string {
  const open: string[] = [];
  for (const [, close, name, attributes, self] of xml.matchAll(/<(\/?)([\w:]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g)) {
    if (close) {
      if (open.pop() !== name) return `</${name}>`;
    } else if (!self) open.push(name!);
    if (attributes === undefined) return name!;
  }
  const bare = xml.replace(/<style>[\s\S]*?<\/style>/g, '').replace(/<(\/?)([\w:]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g, '');
  if (/[<>]|&(?!#\d+;)/.test(bare)) return bare;
  return open.join(' ');
}

describe('text of a stranger', () => {
  const EVIL = '/x\u001b[31m"\\"><script>alert(1)</script>]] --> %%{init}%% \u202egnp\ud800\nnew line';

  function evil(): Graph {
    const graph = graphOf(nested('/bin/vmm'));
    return { ...graph, nodes: graph.nodes.map((n) => (n.kind === 'process' ? { ...n, details: [EVIL] } : n)) };
  }

  test('does not reach a terminal raw', () => {
    for (const text of [renderText(evil()), renderText(graphOf(nested(EVIL)))]) {
      expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
      expect(text).toContain('\\u001b[31m');
    }
  });

  test('does not leave its label in dot, Mermaid and SVG', () => {
    const lines = renderDot(evil()).split('\n');
    expect(lines).toHaveLength(renderDot(graphOf(nested())).split('\n').length);
    for (const line of lines.slice(1, -2)) expect(line.replace(/\\./g, '').split('"').length % 2).toBe(1);
    const mermaid = renderMermaid(evil());
    expect(mermaid.split('\n')).toHaveLength(renderMermaid(graphOf(nested())).split('\n').length);
    expect(mermaid).not.toContain('<script');
    const svg = renderSvg(evil());
    expect(tagsOf(svg)).toBe('');
    expect(svg).not.toMatch(/<script|[\u0000-\u0009\u000b-\u001f]|[\ud800-\udfff]/u);
  });
});
