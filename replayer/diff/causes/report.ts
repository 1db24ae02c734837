/**
 * What came of a comparison, in the order in which a person should read it: causes first, the earliest on top, each with what
 * follows from it. Made by causes.ts; printed by the command line and the screens.
 */
import type { Why } from '../../why.ts';
import type { FieldPair, How } from '../compare.ts';

/** What sort of difference: one line of `--stat` a sort and call. `kind` in JSON. */
export type Sort =
  /** the same question, another errno (or success) */
  | 'errno'
  /** the same question and errno, another result or output field */
  | 'output'
  /** other records, or another number of them, were read from a queue of faults or events */
  | 'records'
  /** register, command or error of a hardware queue */
  | 'hardware'
  /** a call of one side that asks what the other never asks, aligned by its name */
  | 'question'
  | 'only-a'
  | 'only-b';

/** An event of each side that stand beside each other, or one alone. */
export interface Difference {
  readonly how: How;
  /** numbers of the events, 0 none */
  readonly a: number;
  readonly b: number;
  readonly sort: Sort;
  /** "IOMMU_HWPT_ALLOC"; of IOMMU_TEST_CMD with its operation */
  readonly call: string;
}

/** How a difference follows from another. `may`: an inference, not a proof. */
export type Link =
  /** it names what the other made or failed to make */
  | { readonly by: 'names'; readonly may: false }
  /** it names what the other ended, or failed to end */
  | { readonly by: 'ended'; readonly may: false }
  /** its state is another one by what the other changed: no rule of either kernel objects to the answers */
  | { readonly by: 'state'; readonly may: false }
  /** its process was made by the other, or exited behind it */
  | { readonly by: 'process'; readonly may: false }
  /** the program went another way behind the answer of the other */
  | { readonly by: 'path'; readonly may: true };

export interface Consequence {
  readonly difference: Difference;
  readonly link: Link;
}

/** Whether what a side answered is what the rules of its kernel say. */
export type Opinion =
  | {
      readonly kind: 'agrees';
      /** an output is not determined by the rules, for this reason */
      readonly but?: string;
    }
  /** the rules say something else: errno by name, '' success; `field`: they say the same errno, and this output otherwise */
  | { readonly kind: 'disagrees'; readonly expected: string; readonly rule: string; readonly field?: string }
  /** the rules cannot tell, and why */
  | { readonly kind: 'open'; readonly because: string };

export interface SideView {
  /** undefined: the call did nothing that the rules explain */
  readonly why: Why | undefined;
  readonly opinion: Opinion;
}

/** A difference that follows from no other one. */
export interface Cause {
  readonly difference: Difference;
  /** value by value; empty where one side has no event */
  readonly fields: readonly FieldPair[];
  readonly consequences: readonly Consequence[];
  /** undefined: this side has no event */
  readonly a: SideView | undefined;
  readonly b: SideView | undefined;
  /** the known difference between two kernels that this is, by the name of its row; undefined: none */
  readonly known: string | undefined;
}

/** One line of `--stat`. */
export interface StatLine {
  readonly sort: Sort;
  readonly call: string;
  readonly causes: number;
  readonly consequences: number;
  readonly ignored: number;
}

export interface Report {
  readonly eventsA: number;
  readonly eventsB: number;
  /** pairs of events that agree */
  readonly same: number;
  /** pairs that stand beside each other, whether or not they agree */
  readonly matched: number;
  /** differences that no rule ignores, consequences included */
  readonly differences: number;
  /** how many each rule has ignored, by its name */
  readonly ignored: ReadonlyMap<string, number>;
  /** values that were not compared, for one of the traces has what they say redacted */
  readonly redacted: number;
  /** ascending by place */
  readonly causes: readonly Cause[];
  readonly stat: readonly StatLine[];
  /** what the comparison could not look at, in sentences: empty where it saw all */
  readonly limits: readonly string[];
}
