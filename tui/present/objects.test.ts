import { afterAll, describe, expect, test } from 'vitest';
import type { Graph, GraphEdge, GraphNode } from '../../replayer/graph.ts';
import { makeTheme } from '../term/theme.ts';
import { styledText, testModel, textOf } from '../testing.ts';
import { objectsView } from './objects.ts';

const { model, dispose } = testModel();
afterAll(dispose);
const { glyphs } = makeTheme(true, false);

function at(seq: number, ascii = false): string {
  model.approach(seq, Infinity);
  const view = objectsView(model.graph, model.changes, makeTheme(true, ascii).glyphs);
  return `${textOf(view.lines)}\nmarked ${view.marked}`;
}

describe('the object tree', () => {
  test('what an event created, changed, ended', () => {
    expect(at(8)).toMatchInlineSnapshot(`
      "  context 1  IOMMUFD file 1
        ├─ IOAS 1  1 area, 3 users
        │  ├─ HWPT_PAGING 4  automatic, 2 users
        │  └─ HWPT_PAGING 5  NEST_PARENT, 2 users  device → DEVICE 3
      + │     └─ VIOMMU 6  type SELFTEST, mmap 0x1000+0x2000, 1 user  device → DEVICE 3
        ├─ SELFTEST 2  1 user  device → DEVICE 3
        └─ DEVICE 3  mock, 3 users  → HWPT_PAGING 4
        process 4711  /usr/bin/vmm  fd 8 → context 1
      marked 4"
    `);
    expect(at(16)).toMatchInlineSnapshot(`
      "  context 1  IOMMUFD file 1
        ├─ IOAS 1  1 area, 4 users
        │  ├─ HWPT_PAGING 4  automatic, 2 users
        │  └─ HWPT_PAGING 5  NEST_PARENT, 2 users  device → DEVICE 3
        │     └─ VIOMMU 6  type SELFTEST, mmap 0x1000+0x2000, 5 users  device → DEVICE 3
        │        ├─ HW_QUEUE 7  type SELFTEST, index 0, 0x1000000+0x1000, 1 user
        │        ├─ VDEVICE 9  virtual id 0x99, 1 user  device → DEVICE 3
      ~ │        ├─ VEVENTQ 10  type SELFTEST, depth 2, 1 read, 2 lost, 2 users
        │        └─ mmap of 4711  0x7f1234560000+0x2000
        ├─ SELFTEST 2  1 user  device → DEVICE 3
        └─ DEVICE 3  mock, 3 users  → HWPT_PAGING 4
        process 4711  /usr/bin/vmm  fd 8 → context 1  fd 9 → VEVENTQ 10
      marked 7"
    `);
    expect(at(32)).toMatchInlineSnapshot(`
      "  context 1  IOMMUFD file 1
        ├─ IOAS 1  1 area, 4 users
        │  ├─ HWPT_PAGING 4  automatic, 2 users
        │  └─ HWPT_PAGING 5  NEST_PARENT, 2 users  device → DEVICE 3
        │     └─ VIOMMU 6  type SELFTEST, mmap 0x1000+0x2000, 4 users  device → DEVICE 3
        │        ├─ HW_QUEUE 7  type SELFTEST, index 0, 0x1000000+0x1000, 1 user
        │        ├─ VDEVICE 9  virtual id 0x99, 1 user  device → DEVICE 3
        │        └─ VEVENTQ 10  type SELFTEST, depth 2, 1 read, 2 lost, 1 user
        ├─ SELFTEST 2  1 user  device → DEVICE 3
        └─ DEVICE 3  mock, 3 users  → HWPT_PAGING 4
      marked -1"
    `);
    expect(at(33)).toMatchInlineSnapshot(`
      "- VEVENTQ 10  ended here
      - VDEVICE 9  ended here
      - HW_QUEUE 7  ended here
      - VIOMMU 6  ended here
      - HWPT_PAGING 5  ended here
      - HWPT_PAGING 4  ended here
      - DEVICE 3  ended here
      - SELFTEST 2  ended here
      - IOAS 1  ended here
      - context 1  ended here
      marked 0"
    `);
  });
  test('in ASCII', () => {
    expect(at(7, true)).toMatchInlineSnapshot(`
      "  context 1  IOMMUFD file 1
        |- IOAS 1  1 area, 3 users
        |  |- HWPT_PAGING 4  automatic, 2 users
      + |  \`- HWPT_PAGING 5  NEST_PARENT, 1 user  device -> DEVICE 3
        |- SELFTEST 2  1 user  device -> DEVICE 3
        \`- DEVICE 3  mock, 3 users  -> HWPT_PAGING 4
        process 4711  /usr/bin/vmm  fd 8 -> context 1
      marked 3"
    `);
  });
  test('nothing there, nothing marked', () => {
    expect(at(0)).toBe('  nothing is open\nmarked -1');
    expect(at(13)).toMatch(/marked -1$/);
  });
  test('marks are coloured, and what stands in a row is escaped', () => {
    model.approach(11, Infinity);
    const { lines, marked } = objectsView(model.graph, model.changes, glyphs);
    expect(styledText(lines[marked]!)).toBe(
      'created(+ )border(│        ├─ )created(HW_QUEUE 7)dim(  type SELFTEST, index 0, 0x1000000+0x1000, 1 user)',
    );
    const hostile: Graph = { seq: 1, nodes: [node('c1', ['\x1b[2J\u202e'])], edges: [] };
    expect(textOf(objectsView(hostile, [], glyphs).lines)).toBe('  c1  \\x1b[2J\\u{202e}');
  });
});

const node = (key: string, details: readonly string[] = []): GraphNode => ({ key, kind: 'object', label: key, details, inferred: false });
const edge = (from: string, to: string, kind: GraphEdge['kind'] = 'parent'): GraphEdge => ({ from, to, kind, label: '' });

describe('graphs that no kernel makes', () => {
  test('a cycle is cut where it closes, and every node is drawn once', () => {
    const graph: Graph = { seq: 1, nodes: ['a', 'b', 'c'].map((k) => node(k)), edges: [edge('a', 'b'), edge('b', 'c'), edge('c', 'a')] };
    const text = textOf(objectsView(graph, [], glyphs).lines);
    for (const key of 'abc') expect(text.match(new RegExp(`(^|─ |  )${key}\\b`, 'gm'))).toHaveLength(1);
  });
  test('an edge to nowhere is not drawn; a second parent is named at the end', () => {
    const graph: Graph = { seq: 1, nodes: ['a', 'b', 'c'].map((k) => node(k)), edges: [edge('c', 'gone'), edge('c', 'a'), edge('c', 'b')] };
    expect(textOf(objectsView(graph, [], glyphs).lines)).toBe('  a\n  └─ c  → b\n  b');
  });
});
