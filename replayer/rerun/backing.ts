/**
 * Memory in huge pages, as the recorder has seen it when a call mapped it for DMA (recorder/shim/irr_backing.h). Recordings of
 * other recorders do not tell; what is mapped in pieces of less than 2 MiB is not told either.
 */
import type { Extent, Program, Region } from '../program/program.ts';
import type { MemoryAt } from './memory-at.ts';
import { PlanHow } from './plan.ts';

const TOLD = /^pages=(\d{4,11}) (?:(private|shared)|bytes=(\d{1,15}))$/;
const SMALL = 4096n;
/** 16 GiB, on arm64 with pages of 64 KiB */
const MOST = 1n << 34n;

export interface Backing {
  /** bytes of a page, a power of two from 4096 on */
  readonly page: bigint;
  readonly shared: boolean;
  /** of a file: its length, bytes */
  readonly fileBytes: bigint | undefined;
}

/** What the TEXT part of a call says; undefined: nothing that is known. */
export function backingOf(text: string): Backing | undefined {
  const [, pages = '', shared, bytes] = TOLD.exec(text) ?? [];
  if (pages === '') return undefined;
  const page = BigInt(pages);
  if ((page & (page - 1n)) !== 0n || page < SMALL || page > MOST) return undefined;
  return { page, shared: shared === 'shared', fileBytes: bytes === undefined ? undefined : BigInt(bytes) };
}

interface Range {
  /** whose memory: index in the program */
  readonly process: number;
  readonly region: Region;
  readonly page: bigint;
  readonly shared: boolean;
  from: bigint;
  to: bigint;
}

/** Ranges of regions that calls have told of. */
export class HugeRanges {
  readonly #ranges: Range[] = [];

  /** What lies from an address of the region on. */
  tell(process: number, region: Region, address: bigint, bytes: bigint, { page, shared }: Backing): void {
    if (page === SMALL || region.align < page) return;
    const from = up(address, page);
    const last = region.start + region.bytes;
    let to = address + bytes;
    if (to > last) to = last;
    to = down(to, page);
    if (from < to) this.#ranges.push({ process, region, page, shared, from, to });
  }

  /**
   * As they are to be made, apart, before the first step of each process. Not where something in one is a file's, or out of
   * reach, or nothing: huge pages have no such parts.
   */
  finish({ steps }: Program, others: readonly MemoryAt[]): MemoryAt[] {
    const first = new Map<number, number>();
    for (const [index, { process }] of steps.entries()) if (!first.has(process)) first.set(process, index);
    const small = others.filter(({ how }) => how === PlanHow.AWAY || how === PlanHow.FILE);
    const told: MemoryAt[] = [];
    for (const { process, region, page, shared, from, to } of this.#merged()) {
      const [offset, bytes] = [from - region.start, to - from];
      const meets = (o: Extent): boolean => o.offset < offset + bytes && offset < o.offset + o.bytes;
      const isSmall = (m: MemoryAt): boolean => m.symbol === region.symbol && steps[m.step]!.process === process && meets(m);
      const step = first.get(process);
      if (step === undefined || region.holes.some(meets) || small.some(isSmall)) continue;
      const place = { step, how: PlanHow.HUGE, symbol: region.symbol, offset, bytes };
      told.push({ ...place, data: new Uint8Array(), file: shared ? 1 : 0, fileOffset: page });
    }
    return told;
  }

  #merged(): Range[] {
    const sorted = [...this.#ranges].sort(
      (a, b) => a.process - b.process || a.region.index - b.region.index || Number(a.from - b.from) || Number(b.to - a.to),
    );
    const merged: Range[] = [];
    for (const r of sorted) {
      const last = merged.at(-1);
      const isNext = last !== undefined && last.process === r.process && last.region === r.region && r.from <= last.to;
      if (!isNext) merged.push({ ...r });
      // memory that was first one and then the other is as it was lower down
      else if (last.page === r.page && last.shared === r.shared && r.to > last.to) last.to = r.to;
    }
    return merged;
  }
}

const down = (n: bigint, page: bigint): bigint => n - (n % page);
const up = (n: bigint, page: bigint): bigint => down(n + page - 1n, page);
