/** A program in C: what it includes and defines, its variables, its functions, and the order in which they make their calls. */
import type { UapiTable } from '../../hw/uapi/table.ts';
import { uapiTable } from '../../hw/uapi/table.ts';
import { Kind } from '../../store/frame.ts';
import type { Program, ProgramSymbol } from '../program/program.ts';
import { aboutOf } from './about.ts';
import { type Actor, type Cast, castOf, closedByExec, keptTurns, sharedSymbols, type Turn } from './actors.ts';
import { Calls } from './c-calls.ts';
import { headerSections } from './c-definitions.ts';
import type { Form } from './c-forms.ts';
import { AWAIT_RETURN, HELPERS, includes, MEMORY, RETURNED, TURNS } from './c-helpers.ts';
import { Numbers, plain } from './c-numbers.ts';
import { comment, wrapped } from './c-text.ts';
import { declaration } from './c-variables.ts';
import { Used } from './used.ts';

const NEWEST = 'linux-7.2';
/** Calls in one function. */
const MOST_IN_FUNCTION = 100;
/** A placeholder for the memory of an image, which is known when all calls are. */
const MEMORY_OF = '\u0000memory ';

/** The table that a program's structs are read by. */
export const tableOf = (program: Program): UapiTable => uapiTable(program.dialect.startsWith('linux-') ? NEWEST : program.dialect);

export interface Source {
  readonly text: string;
  /** steps that the program makes again */
  readonly calls: number;
  /** events that it does not, see {@link Cast.left} */
  readonly left: Cast['left'];
}

/** @param name of the trace, '' none */
export function cProgram(program: Program, form: Form, name: string): Source {
  return new Writer(program, form).write(name);
}

class Writer {
  readonly #program: Program;
  readonly #form: Form;
  readonly #cast: Cast;
  readonly #used: Used;
  readonly #numbers: Numbers;
  readonly #calls: Calls;
  readonly #shared: ReadonlySet<number>;
  readonly #several: boolean;
  /** turns that are the next of the actor that has the one before */
  readonly #kept: ReadonlySet<number>;
  /** processes that are waited for in the recorded order */
  readonly #reaped = new Set<number>();
  readonly #peers = new Set<number>();
  #made = 0;

  constructor(program: Program, form: Form) {
    this.#program = program;
    this.#form = form;
    this.#cast = castOf(program);
    this.#used = new Used(tableOf(program));
    this.#several = this.#cast.actors.length > 1;
    this.#kept = keptTurns(this.#cast);
    this.#shared = sharedSymbols(program, this.#cast);
    const variables = { name: (s: ProgramSymbol) => (this.#shared.has(s.index) ? `shared->${s.name}` : s.name) };
    this.#numbers = new Numbers(program, this.#used, variables);
    const wanted = new Set(this.#cast.actors.flatMap((a) => a.turns.flatMap((t) => program.steps[t.step]!.uses.map((u) => u.symbol))));
    this.#calls = new Calls({
      style: form.style(this.#used),
      numbers: this.#numbers,
      wanted,
      child: (step) => this.#child(step),
      socketOf: (step) => this.#socketOf(step),
    });
  }

  #child(step: number): string | undefined {
    const child = this.#cast.children.get(step);
    return child === undefined ? undefined : `process${child + 1}(${this.#form.given})`;
  }

  /** The other end of the socket that a descriptor was sent into. */
  #socketOf(step: number): string | undefined {
    const from = this.#program.steps[this.#cast.sent.get(step) ?? -1];
    const use = from?.uses.find((u) => this.#program.symbols[u.symbol]?.type === 'SOCKET');
    if (use === undefined) return undefined;
    this.#used.symbols.add(use.symbol);
    this.#peers.add(use.symbol);
    return `${this.#program.symbols[use.symbol]!.name}_peer`;
  }

  // ---- calls

  /** What a step waits for and lets go on; an actor keeps its turn for the calls that follow each other. */
  #order(turn: Turn): { readonly before: string[]; readonly after: string[] } {
    if (!this.#several) return { before: [], after: [] };
    const has = this.#kept.has(turn.number);
    const keeps = this.#kept.has(turn.number + 1);
    return {
      before: [...(has ? [] : [`turn(${turn.number});`]), ...turn.awaits.map((n) => `await_return(${n});`)],
      after: keeps ? [] : [`done(${turn.number});`],
    };
  }

  #turn(turn: Turn): string[] {
    const step = this.#program.steps[turn.step]!;
    const lines: string[] = [];
    const { before, after } = this.#order(turn);
    const images = turn.images.map((i) => `${MEMORY_OF}${i}`);
    if (turn.how === 'reap') {
      const p = this.#program.processes[step.process]!;
      this.#reaped.add(step.process);
      return ['', ...before, `reap(${this.#withMetadata(this.#numbers.variable(p.symbol))});`, ...after].map(indented);
    }
    if (step.kind === Kind.EXIT) return this.#exit(turn, before, after);
    if (step.kind === Kind.START) {
      const closes = closedByExec(this.#program, step)
        .filter((s) => this.#used.symbols.has(s))
        .map((s) => `close(${this.#numbers.variable(s)});`);
      if ([...before, ...closes, ...images, ...after].length === 0) return [];
      return ['', ...comment([`#${step.seq}: another program is executed in this process`]), ...before, ...closes, ...images, ...after].map(
        indented,
      );
    }
    this.#made++;
    const { declare, lines: made, notes } = this.#calls.statement(turn.step, step);
    lines.push('', ...comment([[`#${step.seq}`, ...notes].join(': ')]).map(indented));
    const calls =
      turn.flight >= 0 && this.#several ? [...before, ...after, ...made, `returned(${turn.flight});`] : [...before, ...made, ...after];
    const all = [...images, ...calls];
    if (declare.length === 0 && (!this.#form.blocks || made.length === 0)) lines.push(...all.flatMap((l) => broken(l, '\t')));
    else lines.push('\t{', ...declare.flatMap((l) => broken(l, '\t\t')), '', ...all.flatMap((l) => broken(l, '\t\t')), '\t}');
    return lines;
  }

  #exit(turn: Turn, before: readonly string[], after: readonly string[]): string[] {
    const step = this.#program.steps[turn.step]!;
    const root = step.process === this.#cast.roots[0];
    if (!this.#several && root) return [];
    const end = root ? after : turn.child >= 0 ? [this.#form.leave] : [...after, this.#form.leave];
    return ['', ...comment([`#${step.seq}: exits`]), ...before, ...end].map(indented);
  }

  /** The calls of an actor, in functions of their own where they are many. → those functions, and the lines that remain */
  #body(actor: Actor, name: string): { readonly functions: string[]; readonly lines: string[] } {
    const { turns } = actor;
    if (turns.length <= MOST_IN_FUNCTION) return { functions: [], lines: turns.flatMap((t) => this.#turn(t)) };
    const functions: string[] = [];
    const lines: string[] = [''];
    for (let i = 0; i < turns.length; i += MOST_IN_FUNCTION) {
      const part = `${name}part${i / MOST_IN_FUNCTION + 1}`;
      functions.push(
        [
          `static void ${part}(${this.#form.parameters})`,
          '{',
          ...withoutFirst(turns.slice(i, i + MOST_IN_FUNCTION).flatMap((t) => this.#turn(t))),
          '}',
        ].join('\n'),
      );
      lines.push(`\t${part}(${this.#form.given});`);
    }
    return { functions, lines };
  }

  #withMetadata(first: string): string {
    return this.#form.given === '' ? first : `${this.#form.given}, ${first}`;
  }

  /** All functions of a process. The first root's calls are those of main. */
  #process(process: number): { readonly functions: string[]; readonly declare: string[]; readonly lines: string[] } {
    const name = `process${process + 1}`;
    const actors = this.#cast.actors.filter((a) => a.process === process);
    const functions: string[] = [];
    const start: string[] = [];
    const join: string[] = [];
    const declare: string[] = [];
    const lines: string[] = [];
    for (const actor of actors) {
      const own = actor.thread === 0 ? (this.#several ? `${name}_` : '') : `${name}_thread${actor.thread}_`;
      const body = this.#body(actor, own);
      functions.push(...body.functions);
      if (actor.thread === 0) lines.push(...body.lines);
      else {
        const thread = `thread${actor.thread}`;
        functions.push(
          [`static void *${name}_${thread}(void *arg)`, '{', `\t${this.#form.thread}`, ...body.lines, '\treturn NULL;', '}'].join('\n'),
        );
        declare.push(thread);
        start.push(`\tpthread_create(&${thread}, NULL, ${name}_${thread}, ${this.#form.given === '' ? 'NULL' : this.#form.given});`);
        join.push(`\tpthread_join(${thread}, NULL);`);
      }
    }
    const images = (this.#cast.images.get(process) ?? []).map((i) => `\t${MEMORY_OF}${i}`);
    const threads = declare.length === 0 ? [] : [`\tpthread_t ${declare.join(', ')};`, ''];
    // a process that has ended takes its threads with it
    const left = lines.some((l) => l.trim() === this.#form.leave);
    const end = process === this.#cast.roots[0] || left ? [] : ['', `\t${this.#form.leave}`];
    return { functions, declare: threads, lines: [...images, ...start, ...lines, ...(left ? [] : join), ...end] };
  }

  // ---- the file

  write(name: string): Source {
    // the functions come first: what else there is follows from what they use
    const bodies = this.#functions();
    const { roots, processes, left } = this.#cast;
    const prototypes = processes.filter((p) => p !== roots[0]).map((p) => `${this.#head(p)};`);
    const sections = [
      comment(aboutOf(this.#program, { name, build: this.#form.build }, this.#made, left)).join('\n'),
      includes(bodies.join('\n'), this.#used.helpers, this.#several, this.#form.includes),
      ...headerSections(this.#used, this.#program.dialect, this.#form.privateHeader),
      this.#variables(),
      ...this.#form.checks(this.#used),
      ...this.#helpers(bodies),
      ...(this.#reaped.size > 0 || this.#waits().length > 0 ? [this.#reap()] : []),
      prototypes.join('\n'),
      ...bodies,
      ...this.#form.last,
    ];
    const text = `// SPDX-License-Identifier: GPL-2.0-only\n${sections.filter((s) => s !== '').join('\n\n')}\n`;
    return { text: text.replace(/\n\n\n+/g, '\n\n').replace(/\{\n\n/g, '{\n'), calls: this.#made, left };
  }

  #head(process: number): string {
    return `static void process${process + 1}(${this.#form.parameters})`;
  }

  /** All functions that make calls; the last is the one that all begins with. */
  #functions(): string[] {
    const [first, ...others] = this.#cast.roots;
    const functions: string[] = [];
    let declare: string[] = [];
    let main: string[] = [];
    for (const p of this.#cast.processes) {
      const made = this.#process(p);
      functions.push(...made.functions);
      if (p === first) ({ declare, lines: main } = made);
      else functions.push([this.#head(p), '{', ...made.declare, ...withoutFirst(made.lines), '}'].join('\n'));
    }
    const lines = [
      ...declare,
      ...this.#foreign(),
      ...(this.#several ? this.#beginning() : []),
      ...others.flatMap((p) => [`\tif ((${this.#pid(p)} = fork()) == 0)`, `\t\tprocess${p + 1}(${this.#form.given});`]),
      ...main,
      ...this.#waits(),
      ...(this.#form.end.length === 0 ? [] : ['', ...this.#form.end.map((l) => `\t${l}`)]),
    ];
    functions.push([this.#form.main, '{', ...withoutFirst(lines), '}'].join('\n'));
    return functions.map((text) => this.#withMemory(text));
  }

  #helpers(bodies: readonly string[]): string[] {
    const has = (call: string): boolean => bodies.some((b) => b.includes(call));
    return [
      ...(has(' = memory(') ? [MEMORY] : []),
      ...Object.entries(HELPERS)
        .filter(([name]) => this.#used.helpers.has(name))
        .map(([, text]) => text),
      ...(this.#several ? [TURNS] : []),
      ...(has('\treturned(') ? [RETURNED] : []),
      ...(has('\tawait_return(') ? [AWAIT_RETURN] : []),
    ];
  }

  #pid(process: number): string {
    return this.#numbers.variable(this.#program.processes[process]!.symbol);
  }

  /** Children that nobody has waited for yet. */
  #waits(): string[] {
    const [first, ...others] = this.#cast.roots;
    const forked = this.#cast.processes.filter(
      (p) => p !== first && !others.includes(p) && this.#program.steps[this.#program.processes[p]!.forkStep]?.process === first,
    );
    return [...forked, ...others].filter((p) => !this.#reaped.has(p)).map((p) => `\treap(${this.#withMetadata(this.#pid(p))});`);
  }

  #reap(): string {
    const parameters = this.#form.given === '' ? 'pid_t pid' : `${this.#form.parameters}, pid_t pid`;
    return [
      `static void reap(${parameters})`,
      '{',
      '\tint status = 0;',
      '',
      ...(this.#form.blocks ? ['\tif (waitpid(pid, &status, 0) == pid) {'] : ['\tif (waitpid(pid, &status, 0) == pid)']),
      `\t\t${this.#form.status('status')}`,
      ...(this.#form.blocks ? ['\t}'] : []),
      '}',
    ].join('\n');
  }

  #beginning(): string[] {
    return [
      '\tshared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);',
      `\t${this.#form.failed('shared == MAP_FAILED')}`,
      '\tatomic_store(&shared->turn, 1);',
      '\t/* where the recorded order does not come about, it ends */',
      '\talarm(120);',
    ];
  }

  /** Descriptors that no call makes: files in their place. */
  #foreign(): string[] {
    const lines: string[] = [];
    for (const index of this.#used.symbols) {
      const s = this.#program.symbols[index]!;
      if (s.sort !== 'fd' || s.step >= 0) continue;
      const bytes = s.bytes > 0n ? s.bytes : 0x10_0000n;
      if (s.type === 'IOMMUFD') lines.push(`\t${s.name} = open("/dev/iommu", O_RDWR | O_CLOEXEC);`);
      else if (s.type === 'FILE' || s.type === 'DMABUF') {
        this.#used.helper('file_fd');
        lines.push(`\t${s.name} = file_of(${plain(bytes, true)});${s.type === 'DMABUF' ? ' /* was a dma-buf */' : ''}`);
      } else if (s.type === 'EVENTFD') lines.push(`\t${s.name} = eventfd(0, EFD_CLOEXEC);`);
      else if (s.type === 'SOCKET') {
        this.#used.helper('socket_pair');
        this.#peers.add(index);
        lines.push(`\tsocket_pair(&${s.name}, &${s.name}_peer);`);
      }
    }
    return lines;
  }

  /** Puts what brings the memory of images about. */
  #withMemory(text: string): string {
    return text.replace(/(\t+)\u0000memory (\d+)\n/g, (_, indent: string, image: string) =>
      this.#memory(Number(image))
        .map((l) => `${indent}${l}\n`)
        .join(''),
    );
  }

  #memory(image: number): string[] {
    const lines: string[] = [];
    for (const r of this.#program.regions) {
      const s = this.#program.symbols[r.symbol]!;
      if (r.image !== image || !this.#used.symbols.has(r.symbol)) continue;
      const on = r.start % r.align;
      lines.push(`${s.name} = memory(0x${r.bytes.toString(16)}, 0x${r.align.toString(16)}, ${plain(on, true)});`);
      if (r.mayBeHuge) lines.push(`madvise(${s.name}, 0x${r.bytes.toString(16)}, MADV_HUGEPAGE);`);
      if (r.backing === 'nothing') lines.push(`munmap(${s.name}, 0x${r.bytes.toString(16)}); /* nothing was there */`);
      else
        for (const h of r.holes)
          lines.push(`munmap(${s.name} + ${plain(h.offset, true)}, ${plain(h.bytes, true)}); /* nothing was there */`);
    }
    return lines;
  }

  #variables(): string {
    const used = [...this.#used.symbols].sort((a, b) => a - b).map((i) => this.#program.symbols[i]!);
    const lines: string[] = [];
    if (this.#several) {
      const fields = used.filter((s) => this.#shared.has(s.index)).map((s) => `\t${declaration(s, false)};`);
      const flights = this.#cast.flights > 0 ? [`\tatomic_int returned[${this.#cast.flights}];`] : [];
      lines.push(
        '/* what processes and threads have together */',
        'static struct {',
        '\tatomic_int turn;',
        ...flights,
        ...fields,
        '} *shared;',
        '',
      );
    }
    const own = used.filter((s) => !this.#shared.has(s.index));
    for (const s of own) lines.push(`static ${declaration(s, true)};`);
    for (const index of this.#peers) lines.push(`static int ${this.#program.symbols[index]!.name}_peer = -1;`);
    return lines.join('\n');
  }
}

const indented = (line: string): string => (line === '' || line.startsWith('#if') ? line : `\t${line}`);
const withoutFirst = (lines: readonly string[]): readonly string[] => (lines[0] === '' ? lines.slice(1) : lines);

/** A line that is too long, broken; one that is an item of an initialiser is as it is. */
function broken(line: string, indent: string): string[] {
  const inner = /^\t*/.exec(line)?.[0] ?? '';
  return line.endsWith(';') ? wrapped(line.slice(inner.length), indent + inner) : [indent + line];
}
