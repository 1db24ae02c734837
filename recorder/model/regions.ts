/** Mappings of regions: every piece of one, in every process, holds the file, and the vIOMMU whose it is. */

import { PAGE } from '../../hw/iommufd/areas.ts';
import type { KObject } from '../../hw/iommufd/state.ts';

/** Takes what a piece of a mapping keeps; what it gives lets go of it. */
export type Hold = () => () => void;

export interface Piece {
  readonly start: bigint;
  /** exclusive */
  readonly end: bigint;
  readonly hold: Hold;
  /** whose registers they are */
  readonly owner: KObject | undefined;
  /** lets go */
  readonly drop?: () => void;
}

const up = (n: bigint): bigint => ((n + PAGE - 1n) / PAGE) * PAGE;

export class Mappings {
  readonly #pieces = new Map<number, Piece[]>();

  map(pid: number, piece: Piece): void {
    this.unmap(pid, piece.start, piece.end);
    this.#add(pid, { ...piece, end: up(piece.end) });
  }

  #add(pid: number, like: Piece): Piece {
    const piece = { ...like, drop: like.hold() };
    const there = this.#pieces.get(pid);
    if (there === undefined) this.#pieces.set(pid, [piece]);
    else there.push(piece);
    return piece;
  }

  /** A mapping that is cut becomes two, or a shorter one. */
  unmap(pid: number, from: bigint, to: bigint): void {
    const end = up(to);
    const there = this.#pieces.get(pid);
    if (there === undefined) return;
    for (const piece of [...there]) {
      if (piece.end <= from || piece.start >= end) continue;
      there.splice(there.indexOf(piece), 1);
      // what stays holds before what goes lets go
      if (piece.start < from) this.#add(pid, { ...piece, end: from });
      if (piece.end > end) this.#add(pid, { ...piece, start: end });
      piece.drop?.();
    }
    if (there.length === 0) this.#pieces.delete(pid);
  }

  move(
    pid: number,
    m: { readonly from: bigint; readonly old: bigint; readonly to: bigint; readonly length: bigint; readonly keeps: boolean },
  ): void {
    const piece = this.#pieces.get(pid)?.find((p) => m.from >= p.start && m.from < p.end);
    if (piece === undefined) {
      this.unmap(pid, m.to, m.to + m.length);
      return;
    }
    if (m.to !== m.from) this.unmap(pid, m.to, m.to + m.length);
    const moved = this.#add(pid, { ...piece, start: m.to, end: m.to + up(m.length) });
    if (m.keeps || m.old === 0n) return;
    const all = this.#pieces.get(pid)!;
    all.splice(all.indexOf(moved), 1);
    this.unmap(pid, m.from, m.from + m.old);
    const rest = this.#pieces.get(pid);
    if (rest === undefined) this.#pieces.set(pid, [moved]);
    else rest.push(moved);
  }

  /** A piece that lies in a range of a process's addresses. */
  at(pid: number, address: bigint, length: bigint): Piece | undefined {
    return this.#pieces.get(pid)?.find((p) => p.start < address + length && p.end > address);
  }

  /** A child has what its parent has. */
  fork(parent: number, child: number): void {
    if (this.#pieces.has(child)) return;
    for (const piece of this.#pieces.get(parent) ?? []) this.#add(child, piece);
  }

  gone(pid: number): void {
    for (const piece of this.#pieces.get(pid) ?? []) piece.drop?.();
    this.#pieces.delete(pid);
  }
}
