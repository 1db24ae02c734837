/** What a reproducer says of itself first. */
import type { Program } from '../program/program.ts';
import type { Left } from './issued.ts';

/** Events and remarks that are told one by one. */
const MOST = 12;

export interface About {
  /** the trace's name, '' none */
  readonly name: string;
  /** how to make a program of it, and what its exit status says */
  readonly build: readonly string[];
}

/** Paragraphs. Strings of the trace in them are not escaped yet. */
export function aboutOf(program: Program, { name, build }: About, calls: number, left: readonly Left[]): string[] {
  // no kernel has answered: the model has
  const answered = program.kernel === '' ? `with the answers of the rules of ${program.dialect}` : `recorded on Linux ${program.kernel}`;
  const lines = [
    `${name === '' ? 'A session' : name}, ${answered}: ${calls} of ${program.steps.length} events are calls that are made again.`,
  ];
  lines.push(...build);
  const remarks = program.remarks.filter((r) => r.step < 0);
  for (const r of remarks.slice(0, MOST)) lines.push(`${r.text}.`);
  if (remarks.length > MOST) lines.push(`And ${remarks.length - MOST} remarks more: see rerun --dry-run.`);
  const whys = new Map<string, number[]>();
  for (const l of left) whys.set(l.why, [...(whys.get(l.why) ?? []), l.seq]);
  for (const [why, seqs] of whys) {
    const shown = seqs.slice(0, MOST).map((s) => `#${s}`);
    lines.push(`Not made again: ${shown.join(', ')}${seqs.length > MOST ? ` and ${seqs.length - MOST} more` : ''}: ${why}.`);
  }
  return lines;
}
