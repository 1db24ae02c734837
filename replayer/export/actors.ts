/** Who makes the calls of a reproducer: processes and threads, in which order, and what they share. */
import { Kind, PartKind, Start } from '../../store/frame.ts';
import type { Program, ProgramSymbol, Step } from '../program/program.ts';
import { closedByExec, issuedOf, type Left } from './issued.ts';
import { numberAt } from './parts.ts';

/** A thread that makes calls. */
export interface Actor {
  readonly process: number;
  readonly thread: number;
  readonly turns: readonly Turn[];
}

export interface Turn {
  /** from 1; the order in which steps begin */
  readonly number: number;
  /** index in the program */
  readonly step: number;
  /** call: the step; reap: of a child whose exit the step is, by who has made it */
  readonly how: 'call' | 'reap';
  /** process that is waited for */
  readonly child: number;
  /** number among those that let others go before they have returned; -1: none does */
  readonly flight: number;
  /** flights that are to have returned before it begins */
  readonly awaits: readonly number[];
  /** images whose memory begins to be there before it */
  readonly images: readonly number[];
}

export interface Cast {
  readonly actors: readonly Actor[];
  readonly left: readonly Left[];
  /** processes with calls, by index */
  readonly processes: readonly number[];
  /** those of them that no recorded call has forked */
  readonly roots: readonly number[];
  /** by step of a fork: the process that it begins */
  readonly children: ReadonlyMap<number, number>;
  readonly flights: number;
  /** images whose memory is there when a root begins, by process */
  readonly images: ReadonlyMap<number, readonly number[]>;
  /** SENDFD step of each receipt */
  readonly sent: ReadonlyMap<number, number>;
}

interface Building {
  number: number;
  step: number;
  how: 'call' | 'reap';
  child: number;
  flight: number;
  awaits: number[];
  images: number[];
}

export function castOf(program: Program): Cast {
  const issued = issuedOf(program);
  const acting = new Set<number>();
  for (const i of issued.steps) {
    const step = program.steps[i]!;
    if (step.kind !== Kind.EXIT && step.kind !== Kind.EXEC) acting.add(step.process);
  }
  const forked = new Map<number, number>();
  for (const p of program.processes) if (p.forkStep >= 0 && acting.has(p.index)) forked.set(p.forkStep, p.index);
  const order = program.steps
    .map((step, index) => ({ step, index }))
    .filter(({ step, index }) => acting.has(step.process) && (includes(issued.steps, index) || isExec(step)));
  const builder = new CastBuilder(program, acting, forked);
  for (const { index } of order) builder.add(index);
  return builder.finish(issued.left);
}

const isExec = (step: Step): boolean => step.kind === Kind.START && step.request === Start.EXEC;

function includes(sorted: readonly number[], value: number): boolean {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === value;
}

class CastBuilder {
  readonly #program: Program;
  readonly #acting: ReadonlySet<number>;
  readonly #forked: Map<number, number>;
  readonly #turns = new Map<string, { readonly process: number; readonly thread: number; readonly turns: Building[] }>();
  #number = 0;
  #flights = 0;
  /** calls that let others go first, until somebody waits for them */
  #flying: { readonly step: number; readonly turn: Building; readonly actor: string }[] = [];
  /** by process: images that it has memory of, and where the next ones go */
  readonly #has = new Map<number, Set<number>>();
  readonly #first = new Map<number, number[]>();
  readonly #at = new Map<number, number[]>();
  readonly #ended = new Set<number>();
  readonly #sends = new Map<string, number[]>();
  readonly #sent = new Map<number, number>();
  /** by step: is some later step of another thread entered before it has returned? */
  readonly #overlapped = new Set<number>();

  constructor(program: Program, acting: ReadonlySet<number>, forked: Map<number, number>) {
    this.#program = program;
    this.#acting = acting;
    this.#forked = forked;
    for (const s of program.steps) for (const o of s.overlaps) this.#overlapped.add(o);
  }

  #actor(process: number, thread: number): { readonly process: number; readonly thread: number; readonly turns: Building[] } {
    const key = `${process}.${thread}`;
    let actor = this.#turns.get(key);
    if (actor === undefined) {
      actor = { process, thread, turns: [] };
      this.#turns.set(key, actor);
    }
    return actor;
  }

  add(index: number): void {
    const step = this.#program.steps[index]!;
    this.#memory(step);
    const { process } = step;
    // a process begins with it: all before its calls is there when its function begins
    if (isExec(step) && !this.#hasCalls(process)) return;
    const turn: Building = { number: ++this.#number, step: index, how: 'call', child: -1, flight: -1, awaits: [], images: [] };
    const key = `${process}.${step.thread}`;
    this.#flying = this.#flying.filter((f) => {
      if (step.overlaps.includes(f.step) && f.actor !== key) return true;
      if (f.actor !== key) turn.awaits.push(f.turn.flight);
      return false;
    });
    if (step.kind === Kind.EXIT && this.#reaped(step, turn)) return;
    if (isExec(step)) this.#at.set(process, turn.images);
    this.#actor(process, step.thread).turns.push(turn);
    if (this.#overlapped.has(index) && step.kind !== Kind.EXIT && step.kind !== Kind.FORK) {
      turn.flight = this.#flights++;
      this.#flying.push({ step: index, turn, actor: key });
    }
    const child = this.#forked.get(index);
    // one that has made calls before is none that begins here, whatever the log says
    if (child !== undefined && this.#hasCalls(child)) this.#forked.delete(index);
    else if (child !== undefined) this.#has.set(child, new Set(this.#has.get(process)));
    this.#message(index, step);
  }

  #hasCalls(process: number): boolean {
    return [...this.#turns.values()].some((a) => a.process === process && a.turns.length > 0);
  }

  /** An exit passes its turn to who waits for the process. */
  #reaped(step: Step, turn: Building): boolean {
    if (this.#ended.has(step.process)) return true;
    this.#ended.add(step.process);
    this.#actor(step.process, step.thread).turns.push(turn);
    const p = this.#program.processes[step.process]!;
    const fork = this.#program.steps[p.forkStep];
    if (fork === undefined || !this.#forked.has(p.forkStep) || this.#ended.has(fork.process)) return true;
    turn.child = step.process;
    this.#actor(fork.process, fork.thread).turns.push({ ...turn, how: 'reap', awaits: [], images: [] });
    return true;
  }

  /** Memory that a step points to is there before it. */
  #memory(step: Step): void {
    for (const u of step.uses) {
      const s = this.#program.symbols[u.symbol]!;
      if (s.sort !== 'memory') continue;
      const image = this.#program.regions[s.region]?.image ?? 0;
      let has = this.#has.get(step.process);
      if (has === undefined) {
        has = new Set();
        this.#has.set(step.process, has);
      }
      if (has.has(image)) continue;
      has.add(image);
      const at = this.#at.get(step.process) ?? this.#first.get(step.process) ?? [];
      if (!this.#at.has(step.process)) this.#first.set(step.process, at);
      at.push(image);
    }
  }

  #message(index: number, step: Step): void {
    if (step.kind === Kind.SENDFD) {
      const key = `${step.process}/${step.fd}`;
      this.#sends.set(key, [...(this.#sends.get(key) ?? []), index]);
    }
    if (step.kind !== Kind.FD) return;
    const words = step.parts.find((p) => p.kind === PartKind.ARGS)?.bytes;
    if (words === undefined || words.length < 32) return;
    const sender = this.#program.processes.find((p) => BigInt(p.pid) === numberAt(words, 16, 4) && p.index !== step.process);
    const from = this.#sends.get(`${sender?.index ?? -1}/${Number(BigInt.asIntN(32, numberAt(words, 24, 4)))}`)?.shift();
    if (from !== undefined) this.#sent.set(index, from);
  }

  finish(left: readonly Left[]): Cast {
    const processes = [...this.#acting].sort((a, b) => a - b);
    const children = new Set(this.#forked.values());
    return {
      actors: [...this.#turns.values()].sort((a, b) => a.process - b.process || a.thread - b.thread),
      left,
      processes,
      roots: processes.filter((p) => !children.has(p)),
      children: this.#forked,
      flights: this.#flights,
      images: this.#first,
      sent: this.#sent,
    };
  }
}

/** Symbols whose values go from one process to another that is not its child. */
export function sharedSymbols(program: Program, cast: Cast): ReadonlySet<number> {
  const shared = new Set<number>();
  for (const actor of cast.actors)
    for (const turn of actor.turns)
      for (const u of program.steps[turn.step]!.uses) {
        const s = program.symbols[u.symbol]!;
        if (s.step >= 0 && s.sort !== 'memory' && !isInherited(program, s, actor.process)) shared.add(u.symbol);
      }
  return shared;
}

/** Does a process know the value because it made it, or was forked after it was made? */
function isInherited(program: Program, s: ProgramSymbol, process: number): boolean {
  const maker = program.steps[s.step]?.process ?? -1;
  let at = process;
  let born = Number.POSITIVE_INFINITY;
  for (let n = 0; n <= program.processes.length; n++) {
    if (at === maker) return born > s.step;
    const p = program.processes[at];
    if (p === undefined || p.forkStep < 0) return false;
    born = Math.min(born, p.forkStep);
    at = program.steps[p.forkStep]?.process ?? -1;
  }
  return false;
}

export { closedByExec };

/** Numbers of turns that an actor has behind one of its own: it need not give it away in between. */
export function keptTurns({ actors }: Cast): Set<number> {
  const kept = new Set<number>();
  // who waits for a child's exit has the same turn as the exit
  const all = actors.flatMap(({ turns }) => turns.map((turn) => turn.number)).sort((a, b) => a - b);
  const several = new Set(all.filter((number, i) => all[i - 1] === number));
  for (const { turns } of actors)
    for (const [i, turn] of turns.entries()) {
      const last = turns[i - 1];
      // a call that lets others go before it has returned has given its turn away
      if (last === undefined || last.flight >= 0 || last.number !== turn.number - 1) continue;
      if (!several.has(last.number) && !several.has(turn.number)) kept.add(turn.number);
    }
  return kept;
}
