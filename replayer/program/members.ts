/** The processes and threads of a program while it is made. */
import type { Process } from '../state.ts';
import type { ProgramProcess, ProgramThread } from './program.ts';
import type { Mutable, SymbolTable } from './symbols.ts';

/** A process, and which image it runs now. */
export interface Member extends Mutable<ProgramProcess> {
  readonly threads: ProgramThread[];
  /** the image of now */
  now: number;
  readonly byTid: Map<number, number>;
}

export class Members {
  readonly all: Member[] = [];
  images = 0;
  readonly #byPid = new Map<number, Member>();
  readonly #symbols: SymbolTable;

  constructor(symbols: SymbolTable) {
    this.#symbols = symbols;
  }

  /** The process that has a pid now, or had it last. */
  known(pid: number): Member | undefined {
    return this.#byPid.get(pid);
  }

  /** The process of an event; one that the state does not know of (it has ended, as far as the log says) goes on. */
  of(pid: number): Member {
    return this.#byPid.get(pid) ?? this.#make(pid, undefined);
  }

  /** A process begins. `forked`: it is a copy of its parent, as far as that is known. */
  begin(p: Process, forked: boolean): Member {
    return this.#make(p.pid, forked ? this.#byPid.get(p.parent) : undefined, p);
  }

  #make(pid: number, parent: Member | undefined, p?: Process): Member {
    const index = this.all.length;
    const image = parent?.now ?? this.images++;
    const symbol = this.#symbols.make({ sort: 'process', type: '', recorded: BigInt(pid), step: -1, process: index });
    const shares = parent !== undefined && p !== undefined && p.memory !== pid && p.memory > 0;
    const made: Member = {
      index,
      pid,
      symbol,
      parent: parent?.index ?? -1,
      forkStep: -1,
      shares,
      exe: p?.exe ?? '',
      image,
      now: image,
      threads: [],
      byTid: new Map(),
    };
    this.all.push(made);
    this.#byPid.set(pid, made);
    return made;
  }

  /** Index of a thread in its process. */
  thread(m: Member, tid: number): number {
    let thread = m.byTid.get(tid);
    if (thread === undefined) {
      thread = m.threads.push({ tid }) - 1;
      m.byTid.set(tid, thread);
    }
    return thread;
  }

  /** It executes another program. */
  executed(m: Member, exe: string): void {
    m.now = this.images++;
    if (exe !== '') m.exe = exe;
  }

  /** The fork of a child is told. */
  forked(m: Member, parent: Member, step: number): void {
    if (m.forkStep >= 0) return;
    m.forkStep = step;
    m.parent = parent.index;
    this.#symbols.at(m.symbol).step = step;
  }

  finish(): ProgramProcess[] {
    return this.all.map(({ now: _now, byTid: _byTid, ...process }) => process);
  }
}
