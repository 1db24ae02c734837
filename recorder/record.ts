/** `record`: runs a program with the shim in it and writes what it does into a trace. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { cpus, machine, constants as os, release, setPriority, tmpdir } from 'node:os';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errnoName } from '../hw/errno.ts';
import { type DialectName, dialectForKernel, uapiTable } from '../hw/uapi/table.ts';
import { TraceWriter } from '../store/append.ts';
import { IrrError } from '../store/errors.ts';
import { Exit, type FrameCursor, FrameFlag, Kind } from '../store/frame.ts';
import type { TraceMeta } from '../store/meta.ts';
import { Drain, observedExit } from './drain.ts';
import { RowIndex } from './index-row.ts';
import { type ModelHost, startModel } from './model/host.ts';
import { createSpool, Spool } from './spool.ts';

export interface RecordOptions {
  /** program and its arguments */
  readonly command: readonly string[];
  /** file of the trace */
  readonly output: string;
  /** replace an existing file */
  readonly force?: boolean;
  /** the kernel's rules answer the program, in this dialect, instead of the kernel */
  readonly model?: DialectName | undefined;
  /** folder of the spool; default: memory, or beside the trace where there is too little of it */
  readonly spool?: string;
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
/** Room that must be free where the spool goes, bytes. */
const SPOOL_ROOM = 256 << 20;

/** Exit status where the recording itself went wrong. */
const CANNOT_RECORD = 2;

export const SHIM = 'libiommufd-rr.so';

/** The shim beside the built program, or in the build folder of a checkout. Throws where it was not built. */
export function shimPath(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  for (const path of [join(here, 'shim', SHIM), join(here, '..', 'dist', 'recorder', 'shim', SHIM)]) if (existsSync(path)) return path;
  throw new IrrError('no-shim', `the capture library ${SHIM} was not built`, { hint: 'run npm run build (it needs a C compiler)' });
}

/**
 * Descriptors from 3 up that the recorder was given, and that are the program's: `-object iommufd,fd=20` of a VMM. Node's own
 * are told apart by what they are: epolls, eventfds, io_urings, and pipes that have both ends here.
 */
function givenDescriptors(): number[] {
  const links = new Map<number, string>();
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      if (Number(name) > 2) links.set(Number(name), readlinkSync(`/proc/self/fd/${name}`));
    } catch {
      // the folder's own descriptor is closed by now
    }
  }
  const targets = [...links.values()];
  return [...links]
    .filter(([, link]) => !/^anon_inode:\[(eventpoll|eventfd|io_uring)\]$/.test(link))
    .filter(([, link]) => !link.startsWith('pipe:') || targets.filter((other) => other === link).length < 2)
    .map(([fd]) => fd);
}

/** Where a program's file is, as execvp(3) finds it. Throws an IrrError where there is none. */
export function findProgram(name: string): string {
  const places = name.includes('/') ? [name] : (process.env.PATH ?? '/usr/bin:/bin').split(delimiter).map((d) => join(d || '.', name));
  let denied: string | undefined;
  for (const path of places) {
    const st = statSync(path, { throwIfNoEntry: false });
    if (!st) continue;
    try {
      if (!st.isFile()) throw new Error();
      accessSync(path, constants.X_OK);
      return resolve(path);
    } catch {
      denied ??= path;
    }
  }
  if (denied !== undefined)
    throw new IrrError('cannot-execute', `${denied}: not a program that may be executed`, { hint: 'check its permissions (chmod +x)' });
  throw new IrrError('not-found', `${name}: no such program`, { hint: name.includes('/') ? 'check the path' : 'it is not in PATH' });
}

/** Does the dynamic loader run for this file? Scripts count by their interpreter. */
export function checkDynamic(path: string, depth = 0): void {
  const head = Buffer.alloc(4096);
  const fd = openSync(path, 'r');
  let n: number;
  try {
    n = readSync(fd, head, 0, head.length, 0);
  } finally {
    closeSync(fd);
  }
  if (head.toString('latin1', 0, 2) === '#!') {
    const interpreter =
      head
        .toString('utf8', 2, Math.max(2, head.indexOf(10)))
        .trim()
        .split(/\s+/)[0] ?? '';
    if (depth < 4 && existsSync(interpreter)) checkDynamic(interpreter, depth + 1);
    return;
  }
  if (n < 64 || head.readUInt32BE(0) !== 0x7f454c46) return; // the kernel will say what it is
  if (head[4] !== 2 || head[5] !== 1)
    throw new IrrError('static', `${path}: not a 64-bit little-endian program`, { hint: 'only those can be recorded' });
  const at = Number(head.readBigUInt64LE(32));
  const size = head.readUInt16LE(54);
  const count = head.readUInt16LE(56);
  for (let i = 0; i < count && at + (i + 1) * size <= n; i++) if (head.readUInt32LE(at + i * size) === 3) return;
  throw new IrrError('static', `${path}: statically linked, so the capture library cannot be loaded into it`, {
    hint: 'link it dynamically, or record a dynamic program that starts it',
  });
}

const MEMORY_FS = 0x01021994; // tmpfs
/** File systems without shared writable mappings: 9p, NFS, SMB, FUSE. */
const NO_MMAP = new Set([0x01021997, 0x6969, 0xff534d42, 0xfe534d42, 0x517b, 0x65735546]);

function roomIn(folder: string): { bytes: number; type: number } {
  try {
    const s = statfsSync(folder);
    accessSync(folder, constants.W_OK);
    return { bytes: s.bavail * s.bsize, type: Number(BigInt.asUintN(32, BigInt(s.type))) };
  } catch {
    return { bytes: 0, type: 0 };
  }
}

/** A folder for the spool, which wants shared mappings and is best in memory. */
function spoolFolder(output: string): string {
  const memory = roomIn('/dev/shm');
  if (memory.type === MEMORY_FS && memory.bytes >= SPOOL_ROOM) return '/dev/shm';
  for (const folder of [dirname(output), tmpdir(), '/var/tmp', '/run', '/dev/shm']) {
    const r = roomIn(folder);
    if (r.bytes >= 16 << 20 && !NO_MMAP.has(r.type)) return folder;
  }
  throw new IrrError('no-room', 'no folder for the spool: none has shared mappings and 16 MiB free', { hint: 'name one with --spool DIR' });
}

const bootId = (): string => {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
};

/** Processes of the recording, watched from outside: a killed one cannot report its end. */
class Processes {
  readonly #live = new Map<number, string>();
  /** those that have gone, and where the spool ended then */
  readonly #gone = new Map<number, number>();
  /** those that reported their own end */
  readonly #said = new Set<number>();

  /** the program itself, which cannot be another process of that number: it is waited for */
  program = 0;

  see(f: FrameCursor): void {
    if (f.kind === Kind.EXIT) this.#said.add(f.pid);
    if (f.kind === Kind.START) {
      this.#said.delete(f.pid);
      const started = String(f.arg(1));
      if (f.pid === this.program || Processes.#started(f.pid) === started) this.#live.set(f.pid, started);
    } else if (f.kind === Kind.FORK && f.ret32 > 0 && !this.#live.has(f.ret32)) {
      const started = Processes.#started(f.ret32);
      if (started !== undefined) this.#live.set(f.ret32, started);
    }
  }

  /** Start time of a process that lives, clock ticks since boot. A zombie does not live. */
  static #started(pid: number): string | undefined {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
    } catch {
      return undefined;
    }
  }

  /** Looks who has gone. What they did lies before `tail` in the spool. */
  look(tail: number): void {
    for (const [pid, started] of this.#live)
      if (Processes.#started(pid) !== started) {
        this.#live.delete(pid);
        this.#gone.set(pid, tail);
      }
  }

  /** Those that have gone without a word, now that everything before `position` was heard. */
  silent(position: number): number[] {
    const silent: number[] = [];
    for (const [pid, tail] of this.#gone)
      if (position >= tail) {
        this.#gone.delete(pid);
        if (!this.#said.delete(pid)) silent.push(pid);
      }
    return silent;
  }

  get pids(): number[] {
    return [...this.#live.keys()];
  }
}

/** Where the trace is written while the recording runs, and how it gets to its place. */
interface Destination {
  readonly working: string;
  place(): void;
}

/** The output itself, or a file of the spool's folder where the output's file system cannot be shared memory. */
function destination(output: string, folder: string, force: boolean): Destination {
  const parent = dirname(output);
  if (!statSync(parent, { throwIfNoEntry: false })?.isDirectory())
    throw new IrrError('no-folder', `${output}: the folder ${parent} does not exist`, { hint: 'make it, or choose another --output' });
  const there = statSync(output, { throwIfNoEntry: false });
  if (there?.isDirectory()) throw new IrrError('directory', `${output}: is a directory`, { hint: 'give the name of a file with --output' });
  if (there && !force)
    throw new IrrError('exists', `${output}: exists already`, { hint: 'choose another name, or replace it with --force' });
  if (!NO_MMAP.has(roomIn(parent).type)) return { working: output, place: () => {} };
  accessWritable(output, parent);
  const working = join(mkdtempSync(join(folder, 'iommufd-rr-')), basename(output));
  return {
    working,
    place: () => {
      const partial = `${output}.partial`;
      try {
        copyFileSync(working, partial);
        const fd = openSync(partial, 'r+');
        fsyncSync(fd);
        closeSync(fd);
        if (force) renameSync(partial, output);
        else {
          try {
            linkSync(partial, output);
            rmSync(partial);
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw error;
            renameSync(partial, output);
          }
        }
      } catch (error) {
        rmSync(partial, { force: true });
        throw new IrrError('no-space', `${output}: cannot be written (${(error as NodeJS.ErrnoException).code ?? String(error)})`, {
          hint: `the whole trace is in ${working}`,
        });
      }
      rmSync(dirname(working), { recursive: true, force: true });
    },
  };
}

function accessWritable(output: string, parent: string): void {
  try {
    accessSync(parent, constants.W_OK);
  } catch {
    throw new IrrError('permission', `${output}: no right to write in ${parent}`, { hint: 'choose another --output' });
  }
}

/** Runs and records. Returns the exit status that the program had (128 + n for a signal). Throws an IrrError before anything ran. */
export async function record(options: RecordOptions): Promise<number> {
  const given = givenDescriptors();
  const program = findProgram(options.command[0] ?? '');
  checkDynamic(program);
  const shim = shimPath();
  const output = resolve(options.output);
  const folder = options.spool === undefined ? spoolFolder(output) : resolve(options.spool);
  const to = destination(output, folder, options.force === true);
  const recording = randomUUID();
  const clock = { realtimeNs: BigInt(Date.now()) * 1_000_000n, monotonicNs: process.hrtime.bigint() };
  const spoolPath = join(folder, `iommufd-rr-${process.pid}-${recording.slice(0, 8)}.spool`);
  const cpu = cpus()[0]?.model ?? '';
  const dialect = options.model ?? dialectForKernel(release());
  const meta: TraceMeta = {
    v: 1,
    tool: options.tool,
    source: options.model === undefined ? 'preload' : 'model',
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
