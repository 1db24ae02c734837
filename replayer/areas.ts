import type { U64 } from './u64.ts';

/** One IOVA area of an IOAS: what one IOMMU_IOAS_MAP, MAP_FILE, MAP_DMA or one piece of a COPY made. Immutable. */
export interface Area {
  /** first IOVA */
  readonly start: U64;
  /** last IOVA, included */
  readonly last: U64;
  /** enum iommufd_ioas_map_flags as given: FIXED_IOVA 1, WRITEABLE 2, READABLE 4 */
  readonly flags: number;
  readonly kind: 'memory' | 'file' | 'unknown';
  /** memory: user address; file: offset in the file; unknown (copied from an area that the log does not show): 0 */
  readonly source: U64;
  /** file: the descriptor that was given, else -1 */
  readonly fd: number;
  /** file: number of the open file, 0 where it is none that the recorder follows */
  readonly file: number;
  /** the event that made it */
  readonly seq: number;
}

/** Entries of a node before it splits. */
const WIDTH = 64;

class Leaf {
  readonly isLeaf = true;
  owner: object;
  /** starts[i] is areas[i].start: numbers in a row, which a search need not follow pointers for */
  starts: U64[];
  areas: Area[];
  constructor(owner: object, starts: U64[], areas: Area[]) {
    this.owner = owner;
    this.starts = starts;
    this.areas = areas;
  }
}

class Inner {
  readonly isLeaf = false;
  owner: object;
  /** keys[i]: no area below children[i + 1] starts before it */
  keys: U64[];
  children: Node[];
  constructor(owner: object, keys: U64[], children: Node[]) {
    this.owner = owner;
    this.keys = keys;
    this.children = children;
  }
}

type Node = Leaf | Inner;

/** Index of the first of the ascending `starts` that is at or after `start`. */
function lowerBound(starts: readonly U64[], start: U64): number {
  let lo = 0;
  let hi = starts.length;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if (starts[mid]! < start) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

/** Puts an area where it belongs in a leaf. (splice would allocate.) */
function put({ starts, areas }: Leaf, area: Area): void {
  const n = areas.length;
  const { start } = area;
  const place = n === 0 || starts[n - 1]! < start ? n : lowerBound(starts, start);
  starts.push(start);
  areas.push(area);
  if (place === n) return;
  for (let i = n; i > place; i--) {
    starts[i] = starts[i - 1]!;
    areas[i] = areas[i - 1]!;
  }
  starts[place] = start;
  areas[place] = area;
}

function take({ starts, areas }: Leaf, place: number): void {
  for (let i = place + 1; i < areas.length; i++) {
    starts[i - 1] = starts[i]!;
    areas[i - 1] = areas[i]!;
  }
  starts.pop();
  areas.pop();
}

/** Index of the child that holds `start`. */
function childOf(node: Inner, start: U64): number {
  const keys = node.keys;
  let lo = 0;
  let hi = keys.length;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if (keys[mid]! <= start) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

/**
 * The areas of one IOAS, ordered by start; they do not overlap. A B+ tree that is changed in place and cloned in O(1):
 * after a clone both trees copy a node the first time they touch it.
 */
export class AreaTree {
  #owner: object = {};
  #root: Node;
  #count = 0;

  constructor() {
    this.#root = new Leaf(this.#owner, [], []);
  }

  get count(): number {
    return this.#count;
  }

  clone(): AreaTree {
    const copy = new AreaTree();
    copy.#root = this.#root;
    copy.#count = this.#count;
    this.#owner = {};
    return copy;
  }

  /** Adds an area. The caller has made sure that it overlaps none. */
  insert(area: Area): void {
    const root = this.#mine(this.#root);
    this.#root = root;
    const right = this.#insert(root, area);
    if (right) this.#root = new Inner(this.#owner, [firstStart(right)], [root, right]);
    this.#count++;
  }

  /** Removes the area that starts at `start`. false where there is none. */
  remove(start: U64): boolean {
    const root = this.#mine(this.#root);
    this.#root = root;
    if (!this.#remove(root, start)) return false;
    while (!this.#root.isLeaf && this.#root.children.length === 1) this.#root = this.#root.children[0]!;
    if (!this.#root.isLeaf && this.#root.children.length === 0) this.#root = new Leaf(this.#owner, [], []);
    this.#count--;
    return true;
  }

  /** The first area that ends at or after `iova`: the one that holds it, else the next. */
  from(iova: U64): Area | undefined {
    const floor = this.floor(iova);
    return floor && floor.last >= iova ? floor : this.#after(this.#root, iova);
  }

  /** The areas that touch [start, last], ascending. */
  within(start: U64, last: U64): Area[] {
    const found: Area[] = [];
    let area = this.from(start);
    while (area && area.start <= last) {
      found.push(area);
      area = this.#after(this.#root, area.start);
    }
    return found;
  }

  *[Symbol.iterator](): Generator<Area> {
    yield* walk(this.#root);
  }

  /** The area with the greatest start that is not after `iova`. */
  floor(iova: U64): Area | undefined {
    let node = this.#root;
    let left: Node | undefined;
    while (!node.isLeaf) {
      const i = childOf(node, iova);
      if (i > 0) left = node.children[i - 1]!;
      node = node.children[i]!;
    }
    const i = lowerBound(node.starts, iova);
    if (node.starts[i] === iova) return node.areas[i];
    return i > 0 ? node.areas[i - 1] : left && lastArea(left);
  }

  /** The area with the least start that is after `iova`. */
  #after(node: Node, iova: U64): Area | undefined {
    let right: Node | undefined;
    let at = node;
    while (!at.isLeaf) {
      const i = childOf(at, iova);
      right = at.children[i + 1] ?? right;
      at = at.children[i]!;
    }
    let i = lowerBound(at.starts, iova);
    if (at.starts[i] === iova) i++;
    return at.areas[i] ?? (right && firstArea(right));
  }

  #mine(node: Node): Node {
    if (node.owner === this.#owner) return node;
    return !node.isLeaf
      ? new Inner(this.#owner, node.keys.slice(), node.children.slice())
      : new Leaf(this.#owner, node.starts.slice(), node.areas.slice());
  }

  /** Inserts below a node that is ours; gives the new right sibling where the node had to split. */
  #insert(node: Node, area: Area): Node | undefined {
    if (node.isLeaf) {
      put(node, area);
      if (node.areas.length <= WIDTH) return undefined;
      // ascending maps are the common case: leave a full leaf behind instead of two halves
      const cut = node.areas[WIDTH] === area ? WIDTH : WIDTH >>> 1;
      return new Leaf(this.#owner, node.starts.splice(cut), node.areas.splice(cut));
    }
    const i = childOf(node, area.start);
    const child = this.#mine(node.children[i]!);
    node.children[i] = child;
    const right = this.#insert(child, area);
    if (!right) return undefined;
    node.keys.splice(i, 0, firstStart(right));
    node.children.splice(i + 1, 0, right);
    if (node.children.length <= WIDTH) return undefined;
    const cut = node.children.length >>> 1;
    const keys = node.keys.splice(cut);
    node.keys.pop();
    return new Inner(this.#owner, keys, node.children.splice(cut));
  }

  /** Removes below a node that is ours. Children that became empty go; a node is never merged with a sibling. */
  #remove(node: Node, start: U64): boolean {
    if (node.isLeaf) {
      const place = lowerBound(node.starts, start);
      if (node.starts[place] !== start) return false;
      take(node, place);
      return true;
    }
    const i = childOf(node, start);
    const child = this.#mine(node.children[i]!);
    node.children[i] = child;
    if (!this.#remove(child, start)) return false;
    if (child.isLeaf ? child.areas.length > 0 : child.children.length > 0) return true;
    node.children.splice(i, 1);
    node.keys.splice(i > 0 ? i - 1 : 0, 1);
    return true;
  }
}

function firstArea(node: Node): Area | undefined {
  let at = node;
  while (!at.isLeaf) at = at.children[0]!;
  return at.areas[0];
}

function lastArea(node: Node): Area | undefined {
  let at = node;
  while (!at.isLeaf) at = at.children[at.children.length - 1]!;
  return at.areas[at.areas.length - 1];
}

const firstStart = (node: Node): U64 => firstArea(node)!.start;

function* walk(node: Node): Generator<Area> {
  if (node.isLeaf) yield* node.areas;
  else for (const child of node.children) yield* walk(child);
}
