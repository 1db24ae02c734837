/** How memory is at a step. */
export interface MemoryAt {
  /** index of the step in the program */
  readonly step: number;
  /** PlanHow */
  readonly how: number;
  /** of memory; IN_FILE: of the descriptor */
  readonly symbol: number;
  /** in the region, or in the file */
  readonly offset: bigint;
  readonly bytes: bigint;
  /** BYTES, IN_FILE: what is there; else empty */
  readonly data: Uint8Array;
  /** FILE: symbol of the descriptor; HUGE: 1 where it is shared; else 0 */
  readonly file: number;
  /** FILE: offset in the file, bytes; HUGE: bytes of a page */
  readonly fileOffset: bigint;
}
