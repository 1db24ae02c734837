/**
 * Scenarios as text: one step a line, `verb argument key=value`, `#` begins a comment. The first lines say what the machine has;
 * what follows is what the VMM and its guest do. Examples: fixtures/scenarios.
 */
import { bytesOf } from '../bits.ts';
import type { Fault } from '../cmdqv/model.ts';
import type { Size } from '../cmdqv/state.ts';
import { parseCommand } from '../smmuv3/commands.ts';
import type { DialectName } from '../uapi/table.ts';
import { Guest } from './guest.ts';
import { type Happened, Session, type Values } from './session.ts';
import { Vmm } from './vmm.ts';

/** A scenario that cannot be run, with the line. */
export class ScenarioError extends Error {
  readonly line: number;
  constructor(line: number, text: string) {
    super(`line ${line}: ${text}`);
    this.line = line;
  }
}

interface Step {
  readonly line: number;
  readonly verb: string;
  /** words without `=` */
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, string>;
  /** all that follows the verb */
  readonly rest: string;
}

const FAULTS: readonly Fault[] = ['atc-timeout', 'cons-write', 'deaf'];
/** steps of a scenario from a stranger */
const MOST = 100_000;

/** Lines as steps; `repeat N` … `end` are unrolled. Throws ScenarioError. */
export function parseScenario(text: string): Step[] {
  const open: { readonly times: number; readonly line: number; readonly steps: Step[] }[] = [{ times: 1, line: 0, steps: [] }];
  for (const [i, raw] of text.split('\n').entries()) {
    const line = i + 1;
    const words = raw.replace(/#.*$/, '').trim().split(/\s+/);
    const verb = words.shift() ?? '';
    if (verb === '') continue;
    if (verb === 'repeat') {
      open.push({ times: numberOf(line, words[0] ?? ''), line, steps: [] });
      continue;
    }
    if (verb === 'end') {
      const block = open.pop();
      if (block === undefined || open.length === 0) throw new ScenarioError(line, 'end without repeat');
      const into = open.at(-1)!.steps;
      if (block.times * block.steps.length + into.length > MOST) throw new ScenarioError(block.line, `more than ${MOST} steps`);
      for (let n = 0; n < block.times; n++) into.push(...block.steps);
      continue;
    }
    const options = new Map(words.filter((w) => w.includes('=')).map((w) => [w.slice(0, w.indexOf('=')), w.slice(w.indexOf('=') + 1)]));
    open.at(-1)!.steps.push({ line, verb, words: words.filter((w) => !w.includes('=')), options, rest: words.join(' ') });
  }
  if (open.length > 1) throw new ScenarioError(open.at(-1)!.line, 'repeat without end');
  return open[0]!.steps;
}

function numberOf(line: number, text: string): number {
  if (!/^(0x[0-9a-fA-F]+|\d+)$/.test(text) || !Number.isSafeInteger(Number(text))) throw new ScenarioError(line, `"${text}" is no number`);
  return Number(text);
}

class Run {
  readonly dialect: DialectName;
  watch: ((happened: Happened, session: Session) => void) | undefined;
  #size: Size = { log2Vintfs: 2, log2Queues: 1, log2Sids: 4, log2Commands: 8 };
  #session: Session | undefined;
  /** in the order of their beginning, and the one that steps are of */
  readonly #vmms: { readonly vmm: Vmm; guest: Guest | undefined }[] = [];
  #current = -1;
  #last = 0;

  constructor(dialect: DialectName) {
    this.dialect = dialect;
  }

  get session(): Session {
    if (this.#session === undefined) {
      const session = new Session(this.dialect, this.#size);
      const { watch } = this;
      if (watch !== undefined) session.watch = (happened) => watch(happened, session);
      this.#session = session;
    }
    return this.#session;
  }
  vmm(step: Step): Vmm {
    const found = this.#vmms[this.#current];
    if (found === undefined) throw new ScenarioError(step.line, `${step.verb} before vmm`);
    return found.vmm;
  }
  guest(step: Step): Guest {
    const found = this.#vmms[this.#current]?.guest;
    if (found === undefined) throw new ScenarioError(step.line, `${step.verb} before boot`);
    return found;
  }
  number(step: Step, key: string, otherwise?: number): number {
    const text = step.options.get(key);
    if (text !== undefined) return numberOf(step.line, text);
    if (otherwise === undefined) throw new ScenarioError(step.line, `${step.verb} wants ${key}=`);
    return otherwise;
  }
  queue(step: Step): number {
    return numberOf(step.line, step.words[0] ?? '');
  }

  machine(step: Step): void {
    if (this.#session !== undefined) throw new ScenarioError(step.line, 'machine comes first');
    const { log2Vintfs, log2Queues, log2Sids, log2Commands } = this.#size;
    this.#size = {
      log2Vintfs: this.number(step, 'vintfs', log2Vintfs),
      log2Queues: this.number(step, 'queues', log2Queues),
      log2Sids: this.number(step, 'sids', log2Sids),
      log2Commands: this.number(step, 'commands', log2Commands),
    };
  }
  start(step: Step): void {
    const page0 = step.options.get('page0') ?? 'seen';
    if (page0 !== 'seen' && page0 !== 'sampled') throw new ScenarioError(step.line, 'page0 is seen or sampled');
    const index = this.#vmms.length;
    const vmm = new Vmm(this.session, { seen: page0 === 'seen', depth: this.number(step, 'depth', 8), index });
    this.#current = this.#vmms.push({ vmm, guest: undefined }) - 1;
  }
  use(step: Step): void {
    const index = numberOf(step.line, step.words[0] ?? '');
    if (this.#vmms[index] === undefined) throw new ScenarioError(step.line, `there is no VMM ${index}`);
    this.#current = index;
  }
  /** The program is killed. */
  exit(step: Step): void {
    this.vmm(step).s.exit(this.number(step, 'status', 137));
    this.#vmms.splice(0);
    this.#current = -1;
  }
  boot(step: Step): void {
    const log2 = this.number(step, 'log2', 4);
    const guest = new Guest(this.vmm(step), { log2, halves: step.words.includes('halves') });
    this.#vmms[this.#current]!.guest = guest;
    guest.boot(this.number(step, 'queues', 2));
  }
  command(step: Step, text: string): Uint8Array {
    const words = parseCommand(text);
    if (words === undefined) throw new ScenarioError(step.line, `"${text.trim()}" is no command`);
    return bytesOf(words);
  }

  /** `call NAME field=value …`: a value may be $viommu, $ioas, $parent, $device0, $queue0, $last (the id that the last such call gave); `field<=value` is what the kernel answers; `a/b=value`: the first field that the dialect has. */
  call(step: Step): void {
    const vmm = this.vmm(step);
    const names: Record<string, number | undefined> = { viommu: vmm.viommu, ioas: vmm.ioas, parent: vmm.parent, last: this.#last };
    vmm.devices.forEach((d, i) => {
      names[`device${i}`] = d.id;
    });
    for (const [i, id] of vmm.queues) names[`queue${i}`] = id;
    const values: Record<string, number> = {};
    const nested: Record<string, Uint8Array> = {};
    const told = { values: {} as Record<string, number>, nested: {} as Record<string, Uint8Array> };
    for (const [key, text] of step.options) {
      const answer = key.endsWith('<');
      const called = (answer ? key.slice(0, -1) : key).split('/');
      const field = called.find((name) => this.session.model.table.has(step.words[0] ?? '', name)) ?? called[0]!;
      const hex = /^hex:((?:[0-9a-f]{2})*)$/.exec(text);
      const named = text.startsWith('$') ? names[text.slice(1)] : undefined;
      if (text.startsWith('$') && named === undefined) throw new ScenarioError(step.line, `there is no ${text}`);
      if (hex !== null) (answer ? told.nested : nested)[field] = Uint8Array.from(hex[1]!.match(/../g) ?? [], (b) => Number.parseInt(b, 16));
      else (answer ? told.values : values)[field] = named ?? numberOf(step.line, text);
    }
    const asks = Object.keys(told.values).length + Object.keys(told.nested).length > 0;
    this.#tell(step, vmm, values, nested, asks ? told : undefined);
  }
  #tell(
    step: Step,
    vmm: Vmm,
    values: Values,
    nested: Readonly<Record<string, Uint8Array>>,
    told: { values: Values; nested: Readonly<Record<string, Uint8Array>> } | undefined,
  ): void {
    try {
      const name = step.words[0] ?? '';
      const result = this.session.call(vmm.iommufd, name, values, { nested, ...(told === undefined ? {} : { told }) });
      const out = this.session.model.table.byName(name)?.struct?.fields.find((f) => /^out_\w+_id$/.test(f.name));
      if (result.errno === '' && out !== undefined) this.#last = result.u32(out.name);
    } catch (error) {
      throw new ScenarioError(step.line, error instanceof Error ? error.message : String(error));
    }
  }

  fault(step: Step): void {
    const fault = FAULTS.find((f) => f === step.words[1]);
    const vmm = this.vmm(step);
    const { vintf } = vmm;
    if (fault === undefined || vintf === undefined)
      throw new ScenarioError(step.line, `a fault is one of ${FAULTS.join(', ')}, of a VINTF`);
    this.session.hardware({ kind: 'fault', vintf, lvcmdq: this.queue(step), fault });
  }
}

/** What each verb does. */
const VERBS: Readonly<Record<string, (run: Run, step: Step) => void>> = {
  machine: (run, step) => run.machine(step),
  vmm: (run, step) => run.start(step),
  device: (run, step) => run.vmm(step).plug(run.number(step, 'vsid')),
  /** a device of another machine than this one: bound, and no more */
  bind: (run, step) => run.vmm(step).plug(),
  boot: (run, step) => run.boot(step),
  /** commands of one queue: written, PROD stored, CONS waited for */
  send: (run, step) => {
    const q = run.queue(step);
    const texts = step.rest.slice(step.words[0]!.length).split(';');
    run.guest(step).write(
      q,
      texts.map((t) => run.command(step, t)),
    );
    run.guest(step).ring(q);
    run.guest(step).wait(q);
  },
  /** the same without waiting */
  write: (run, step) => {
    run.guest(step).write(
      run.queue(step),
      step.rest
        .slice(step.words[0]!.length)
        .split(';')
        .map((t) => run.command(step, t)),
    );
  },
  ring: (run, step) => run.guest(step).ring(run.queue(step)),
  wait: (run, step) => void run.guest(step).wait(run.queue(step)),
  recover: (run, step) => run.guest(step).recover(run.queue(step)),
  start: (run, step) => void run.guest(step).start(run.queue(step)),
  stop: (run, step) => run.guest(step).stop(run.queue(step)),
  base: (run, step) => run.guest(step).base(run.queue(step), BigInt(numberOf(step.line, step.words[1] ?? ''))),
  'stop-all': (run, step) => run.guest(step).stopAll(),
  invalidate: (run, step) => void run.vmm(step).invalidate(step.rest.split(';').map((t) => run.command(step, t))),
  events: (run, step) => void run.vmm(step).events(),
  sample: (run, step) => run.vmm(step).sample('sample', run.queue(step)),
  fault: (run, step) => run.fault(step),
  call: (run, step) => run.call(step),
  shutdown: (run, step) => run.vmm(step).shutdown(),
  use: (run, step) => run.use(step),
  exit: (run, step) => run.exit(step),
};

/** Runs a scenario on the kernel of a dialect; `watch` is called with each event. Throws ScenarioError; a call of the VMM that must not fail and does is one too. */
export function runScenario(text: string, dialect: DialectName, watch?: (happened: Happened, session: Session) => void): Session {
  const run = new Run(dialect);
  run.watch = watch;
  for (const step of parseScenario(text)) {
    const verb = Object.hasOwn(VERBS, step.verb) ? VERBS[step.verb] : undefined;
    if (verb === undefined)
      throw new ScenarioError(step.line, `there is no step "${step.verb}"; there are ${Object.keys(VERBS).join(', ')}`);
    try {
      verb(run, step);
    } catch (error) {
      if (error instanceof ScenarioError) throw error;
      throw new ScenarioError(step.line, error instanceof Error ? error.message : String(error));
    }
  }
  return run.session;
}
