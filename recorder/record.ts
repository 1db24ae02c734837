/** `record`: runs a program with the shim in it and writes what it does into a trace. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { cpus, machine, constants as os, release, setPriority } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { errnoName } from '../hw/errno.ts';
import { type DialectName, dialectForKernel, uapiTable } from '../hw/uapi/table.ts';
import { TraceWriter } from '../store/append.ts';
import { IrrError } from '../store/errors.ts';
import { Exit, FrameFlag } from '../store/frame.ts';
import type { TraceMeta } from '../store/meta.ts';
import { type Destination, destination, spoolFolder } from './destination.ts';
import { Drain, observedExit } from './drain.ts';
import { RowIndex } from './index-row.ts';
import { type ModelChoice, type ModelHost, startModel } from './model/host.ts';
import { Processes } from './processes.ts';
import { checkDecoder, checkDynamic, findProgram, givenDescriptors, shimPath } from './program.ts';
import { Spool } from './spool.ts';
import { createSpool } from './spool-layout.ts';

export interface RecordOptions {
  /** program and its arguments */
  readonly command: readonly string[];
  /** file of the trace */
  readonly output: string;
  /** replace an existing file */
  readonly force?: boolean;
  /** the kernel's rules answer the program instead of the kernel */
  readonly model?: ModelChoice | undefined;
  /** folder of the spool; default: memory, or beside the trace where there is too little of it */
  readonly spool?: string;
  /** loads and stores of mapped regions as well */
  readonly mmio?: boolean;
  /** loads and stores that guests of KVM leave to the program as well */
  readonly kvm?: boolean;
  /** hardware queues are read every so many milliseconds as well; 0: not */
  readonly sampleQueuesMs?: number;
  /** version of the program, for the trace's meta */
  readonly tool: string;
  /** a line for the user, on standard error */
  readonly note: (text: string) => void;
}

/** How often the spool is looked at, milliseconds: while events come, and at most while none do. */
const POLL_MS = 5;
const IDLE_MS = 50;
/** The recorder gives way to the program. */
const NICE = 5;
const LIVE_CHECK_MS = 100;

/** Exit status where the recording itself went wrong. */
const CANNOT_RECORD = 2;

const bootId = (): string => {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
};

/** Runs and records. Returns the exit status that the program had (128 + n for a signal). Throws an IrrError before anything ran. */
export async function record(options: RecordOptions): Promise<number> {
  const given = givenDescriptors();
  const program = findProgram(options.command[0] ?? '');
  checkDynamic(program);
  const shim = shimPath();
  if (options.mmio === true) checkDecoder(shim);
  const output = resolve(options.output);
  const folder = options.spool === undefined ? spoolFolder(output) : resolve(options.spool);
  const to = destination(output, folder, options.force === true);
  const recording = randomUUID();
  const clock = { realtimeNs: BigInt(Date.now()) * 1_000_000n, monotonicNs: process.hrtime.bigint() };
  const spoolPath = join(folder, `iommufd-rr-${process.pid}-${recording.slice(0, 8)}.spool`);
  const cpu = cpus()[0]?.model ?? '';
  const dialect = options.model?.dialect ?? dialectForKernel(release());
  const meta: TraceMeta = {
    v: 1,
    tool: options.tool,
    source: options.model === undefined ? 'preload' : 'model',
    ...(options.model === undefined ? {} : { modelMachine: options.model.machine }),
    kernel: options.model === undefined ? release() : '',
    machine: machine(),
    cpu,
    command: options.command,
    cwd: process.cwd(),
    dialect,
    clock,
    complete: false,
    dropped: 0,
    recording,
    spool: spoolPath,
  };
  let writer: TraceWriter | undefined;
  let spool: Spool;
  let model: ModelHost | undefined;
  try {
    writer = TraceWriter.create(to.working, meta, { force: options.force === true, errorName: errnoName });
    createSpool(spoolPath, {
      realtimeNs: clock.realtimeNs,
      monotonicNs: clock.monotonicNs,
      kernel: release(),
      machine: machine(),
      cpu,
      recording,
      trace: writer.livePath,
      bootId: bootId(),
      mmio: options.mmio === true,
      kvm: options.kvm === true,
      sampleMs: options.sampleQueuesMs ?? 0,
    });
    spool = new Spool(spoolPath);
    if (options.model !== undefined) model = await startModel(spoolPath, options.model, options.note);
  } catch (error) {
    writer?.close();
    if (writer) rmSync(writer.livePath, { force: true });
    rmSync(spoolPath, { force: true });
    if (to.working !== output) rmSync(dirname(to.working), { recursive: true, force: true });
    if (error instanceof IrrError) throw error;
    throw new IrrError('no-space', `${spoolPath}: cannot make the spool (${(error as NodeJS.ErrnoException).code ?? String(error)})`, {
      hint: 'name another folder with --spool DIR',
    });
  }
  try {
    return await new Recording({ options, program, given, shim, spool, writer, to, output, dialect }).run();
  } finally {
    await model?.stop();
  }
}

class Recording {
  readonly #processes = new Processes();
  readonly #drain: Drain;
  #failure: unknown;

  readonly options: RecordOptions;
  /** file of the program, and descriptors that it is given beside the first three */
  readonly program: string;
  readonly given: readonly number[];
  readonly shim: string;
  readonly spool: Spool;
  readonly writer: TraceWriter;
  readonly to: Destination;
  readonly output: string;

  constructor(
    parts: Pick<Recording, 'options' | 'program' | 'given' | 'shim' | 'spool' | 'writer' | 'to' | 'output'> & {
      readonly dialect: DialectName;
    },
  ) {
    this.options = parts.options;
    this.program = parts.program;
    this.given = parts.given;
    this.shim = parts.shim;
    this.spool = parts.spool;
    this.writer = parts.writer;
    this.to = parts.to;
    this.output = parts.output;
    this.#drain = new Drain(this.spool, this.writer, new RowIndex(uapiTable(parts.dialect)));
    this.#drain.onFrame = (f) => this.#processes.see(f);
  }

  async run(): Promise<number> {
    // Set before there is a program, so that none is left alone. The terminal sends these to the program as well; the recorder
    // stays until the program has ended.
    let interrupts = 0;
    const onInterrupt = (): void => void interrupts++;
    const forward = (signal: NodeJS.Signals) => (): void => void child.kill(signal);
    const handlers: [NodeJS.Signals, () => void][] = [
      ['SIGINT', onInterrupt],
      ['SIGQUIT', onInterrupt],
      ['SIGTERM', forward('SIGTERM')],
      ['SIGHUP', forward('SIGHUP')],
    ];
    for (const [signal, handler] of handlers) process.on(signal, handler);
    const preload = process.env.LD_PRELOAD;
    const child = spawn(this.program, this.options.command.slice(1), {
      argv0: this.options.command[0]!,
      stdio: Array.from({ length: Math.max(2, ...this.given) + 1 }, (_, fd) => (fd < 3 || this.given.includes(fd) ? fd : 'ignore')),
      env: { ...process.env, LD_PRELOAD: preload ? `${this.shim}:${preload}` : this.shim, IRR_SPOOL: this.spool.path },
    });
    try {
      setPriority(NICE);
    } catch {
      // a sandbox may forbid it
    }
    this.#processes.program = child.pid ?? 0;
    let ended: { status: number | null; signal: NodeJS.Signals | null } | undefined;
    let spawnError: Error | undefined;
    child.on('exit', (status, signal) => {
      ended = { status, signal };
    });
    child.on('error', (error) => {
      spawnError = error;
      ended = { status: CANNOT_RECORD, signal: null };
    });
    let wake = (): void => {};
    child.once('exit', () => wake());
    const pause = (ms: number): Promise<void> =>
      new Promise((done) => {
        const timer = setTimeout(done, ms);
        wake = () => {
          clearTimeout(timer);
          done();
        };
      });
    let looked = 0;
    let told = false;
    let poll = POLL_MS;
    try {
      for (;;) {
        const took = this.#step(false);
        const now = Date.now();
        if (now - looked >= LIVE_CHECK_MS || ended) {
          looked = now;
          this.#gone();
        }
        if (ended && (this.#processes.pids.length === 0 || interrupts > 1)) break;
        if (ended && !told && took === 0) {
          told = true;
          this.options.note(
            `${this.options.command[0]} has ended; still recording what it left behind (${this.#processes.pids.join(', ')}); press Ctrl-C twice to stop`,
          );
        }
        poll = took > 0 ? POLL_MS : Math.min(IDLE_MS, poll * 1.5);
        await pause(took > 1000 ? 0 : poll);
      }
      this.spool.stop();
      this.#step(true);
      this.#gone();
      this.#step(true);
    } finally {
      for (const [signal, handler] of handlers) process.off(signal, handler);
    }
    return this.#finish(ended, spawnError);
  }

  /** Once the trace cannot be written any more, the spool alone goes on; the program is not disturbed. */
  #step(last: boolean): number {
    if (this.#failure !== undefined) return 0;
    try {
      return this.#drain.step(last);
    } catch (error) {
      this.#failure = error;
      return 0;
    }
  }

  #gone(): void {
    this.#processes.look(this.spool.tail);
    if (this.#failure !== undefined) return;
    // what they did before they went comes first, and may be the news of their end
    for (const pid of this.#processes.silent(this.#drain.position)) {
      try {
        this.#drain.append(observedExit(pid, Exit.OBSERVED, FrameFlag.OBSERVED));
      } catch (error) {
        this.#failure = error;
      }
    }
  }

  #finish(ended: { status: number | null; signal: NodeJS.Signals | null }, spawnError: Error | undefined): number {
    const status = ended.signal ? 128 + (os.signals[ended.signal] ?? 0) : (ended.status ?? CANNOT_RECORD);
    if (this.#failure !== undefined) {
      const reason = this.#failure instanceof Error ? this.#failure.message : String(this.#failure);
      this.options.note(
        `${reason}; the program was not disturbed, and everything is in ${this.spool.path}: make room, then iommufd-rr recover ${this.spool.path} -o OTHER.irr`,
      );
      this.spool.close();
      return CANNOT_RECORD;
    }
    const events = this.writer.last;
    const exit = ended.signal ? { signal: ended.signal } : { status: ended.status ?? CANNOT_RECORD };
    this.writer.setMeta({ complete: true, dropped: this.#drain.lost, exit });
    try {
      this.writer.finish();
      this.to.place();
    } catch (error) {
      this.options.note(error instanceof IrrError && error.hint ? `${error.message}: ${error.hint}` : String(error));
      this.spool.close();
      return CANNOT_RECORD;
    }
    this.spool.close();
    rmSync(this.spool.path, { force: true });
    if (spawnError) this.options.note(`${this.program}: ${spawnError.message}`);
    this.options.note(`recorded ${events} events (${this.#drain.lost} dropped) in ${this.output}`);
    return status;
  }
}
