/**
 * The one way to the terminal. Everything that a command prints passes here: text is escaped (a trace may come from a
 * stranger), colours are added behind the escaping, a closed pipe ends the program quietly, a full disk is one clear line.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { jsonText } from '../../hw/json-text.ts';
import { escapeText } from '../../hw/quote.ts';
import { IrrError } from '../../store/errors.ts';

/** What a piece of text means; {@link CODES} says how it looks. Only the terminal's own 16 colours: its palette is the theme. */
export type Style = 'heading' | 'call' | 'dim' | 'ok' | 'error' | 'created' | 'changed' | 'destroyed' | 'name';
const CODES: { readonly [S in Style]: string } = {
  heading: '1',
  call: '36',
  dim: '2',
  ok: '32',
  error: '31',
  created: '32',
  changed: '33',
  destroyed: '31',
  name: '1',
};

export interface Styled {
  readonly text: string;
  readonly style: Style;
}
export type Piece = string | Styled;
export const paint = (style: Style, text: string): Styled => ({ text, style });

/** A piece as bytes for the terminal: nothing in `text` can act on it. */
export function render(piece: Piece, color: boolean): string {
  if (typeof piece === 'string') return escapeText(piece);
  const text = escapeText(piece.text);
  return color && text !== '' ? `\x1b[${CODES[piece.style]}m${text}\x1b[0m` : text;
}

/** Whoever reads our output went away (`show | head`): end, quietly. */
export class OutputClosed extends Error {}

/** Where text goes. `drain` waits until the reader has taken what was written. */
export interface Sink {
  write(text: string): void;
  drain(): Promise<void>;
  /** writes what is left; nothing may be written afterwards */
  end(): Promise<void>;
}

const BUFFER = 64 * 1024;

/** A file descriptor, buffered, written synchronously: errors surface where they happen. */
export class FdSink implements Sink {
  private readonly fd: number;
  private readonly name: string;
  private pending: string[] = [];
  private size = 0;

  constructor(fd: number, name: string) {
    this.fd = fd;
    this.name = name;
  }
  write(text: string): void {
    this.pending.push(text);
    this.size += text.length;
    if (this.size >= BUFFER) this.flush();
  }
  async drain(): Promise<void> {
    this.flush();
  }
  async end(): Promise<void> {
    this.flush();
  }
  flush(): void {
    const bytes = Buffer.from(this.pending.join(''));
    this.pending = [];
    this.size = 0;
    for (let at = 0; at < bytes.length; ) at += this.some(bytes, at);
  }
  private some(bytes: Buffer, at: number): number {
    try {
      return writeSync(this.fd, bytes, at);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EAGAIN') {
        // Somebody who shares the pipe made it non-blocking: wait a little, then try again.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
        return 0;
      }
      throw writeError(error, this.name);
    }
  }
}

/** The error that a user sees where output cannot be written. */
export function writeError(error: unknown, name: string): Error {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code === 'EPIPE') return new OutputClosed();
  const texts: Readonly<Record<string, string>> = {
    ENOSPC: 'no space left on the device',
    EDQUOT: 'over the disk quota',
    EFBIG: 'file too large',
    EIO: 'input/output error',
    EACCES: 'permission denied',
    EPERM: 'not permitted',
    EROFS: 'read-only file system',
    ENOENT: 'no such directory',
    ENOTDIR: 'what should be a directory is none',
    EISDIR: 'it is a directory',
  };
  const text = texts[code] ?? (error instanceof Error ? error.message : String(error));
  return new IrrError('output', `cannot write to ${name}: ${text}`, { cause: error });
}

/** A pager that reads what we write. When it ends, so do we. */
class PagerSink implements Sink {
  private readonly child: ChildProcess;
  private readonly closed: Promise<void>;
  private gone = false;
  private full = false;

  constructor(command: string) {
    // Ctrl-C belongs to the pager as long as it runs, as with git and man.
    process.on('SIGINT', () => {});
    this.child = spawn(command, { shell: true, stdio: ['pipe', 'inherit', 'inherit'], env: { LESS: 'FRX', LV: '-c', ...process.env } });
    this.child.stdin?.on('error', () => {
      this.gone = true;
    });
    this.closed = new Promise((resolve) => {
      const end = (): void => {
        this.gone = true;
        resolve();
      };
      this.child.on('error', end);
      this.child.on('close', end);
    });
  }
  write(text: string): void {
    if (this.gone) throw new OutputClosed();
    this.full = this.child.stdin?.write(text) === false;
  }
  async drain(): Promise<void> {
    if (this.full) await Promise.race([new Promise<void>((resolve) => this.child.stdin?.once('drain', resolve)), this.closed]);
    else await new Promise((resolve) => setImmediate(resolve));
    if (this.gone) throw new OutputClosed();
    this.full = false;
  }
  async end(): Promise<void> {
    this.child.stdin?.end();
    await this.closed;
  }
}

export interface OutOptions {
  readonly color: boolean;
}

/** Results of a command: lines of pieces, JSON, whole documents. */
export class Out {
  readonly color: boolean;
  private readonly sink: Sink;

  constructor(sink: Sink, options: OutOptions) {
    this.sink = sink;
    this.color = options.color;
  }
  line(...pieces: readonly Piece[]): void {
    let text = '';
    for (const piece of pieces) text += render(piece, this.color);
    this.sink.write(`${text}\n`);
  }
  /** Lines of a text that is not ours to style. */
  text(text: string): void {
    for (const line of text.replace(/\n$/, '').split('\n')) this.line(line);
  }
  /** Text that is already what it should be, to its last byte: JSON in pieces. */
  raw(text: string): void {
    this.sink.write(text);
  }
  json(value: unknown): void {
    this.sink.write(`${jsonText(value)}\n`);
  }
  drain(): Promise<void> {
    return this.sink.drain();
  }
  end(): Promise<void> {
    return this.sink.end();
  }
}

export type ColorChoice = 'always' | 'never' | 'auto';

/** `--color` > NO_COLOR > FORCE_COLOR, CLICOLOR_FORCE > is it a terminal that can. */
export function wantsColor(choice: ColorChoice, tty: boolean, env: NodeJS.ProcessEnv): boolean {
  if (choice !== 'auto') return choice === 'always';
  if (env.NO_COLOR) return false;
  if ((env.FORCE_COLOR && env.FORCE_COLOR !== '0') || (env.CLICOLOR_FORCE && env.CLICOLOR_FORCE !== '0')) return true;
  return tty && env.TERM !== 'dumb';
}

/** Is the program that a pager's command line begins with there at all? */
function canRun(command: string): boolean {
  const word = command.trim().split(/\s+/)[0] ?? '';
  return spawnSync('sh', ['-c', 'command -v -- "$1"', 'sh', word], { stdio: 'ignore' }).status === 0;
}

/** Results on standard output; through the user's pager where `page` says so and it is a terminal. */
export function standardOut(color: ColorChoice, page: boolean): Out {
  const tty = isatty(1);
  const options = { color: wantsColor(color, tty, process.env) };
  const pager = process.env.PAGER ?? 'less -FRX';
  const pages = page && tty && process.env.TERM !== 'dumb' && pager !== '' && pager !== 'cat' && canRun(pager);
  return new Out(pages ? new PagerSink(pager) : new FdSink(1, 'standard output'), options);
}

/** Progress on standard error: only on a terminal, only when the work has lasted half a second, gone when it ends. */
export class Progress {
  private readonly what: string;
  private readonly write: ((text: string) => void) | undefined;
  private readonly now: () => number;
  private readonly began: number;
  private shown = Number.NEGATIVE_INFINITY;
  private visible = false;

  constructor(
    what: string,
    write: ((text: string) => void) | undefined = isatty(2) ? (text) => void process.stderr.write(text) : undefined,
    now = () => performance.now(),
  ) {
    this.what = what;
    this.write = write;
    this.now = now;
    this.began = now();
  }
  update(done: number, total: number): void {
    if (this.write === undefined) return;
    const now = this.now();
    const spent = now - this.began;
    if (spent < 500 || now - this.shown < 100) return;
    this.shown = now;
    this.visible = true;
    const rate = (done / spent) * 1000;
    const left = rate > 0 ? Math.ceil((total - done) / rate) : 0;
    this.write(
      `\r${this.what} ${Math.floor((100 * done) / Math.max(1, total))} %  ${short(done)}/${short(total)}  ${short(rate)}/s  ${left} s left\x1b[K`,
    );
  }
  done(): void {
    if (this.visible) this.write?.('\r\x1b[K');
    this.visible = false;
  }
}

/** 3900000 → `3.9M` */
export function short(n: number): string {
  for (const [unit, suffix] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (n >= unit) return `${(n / unit).toFixed(n >= 10 * unit ? 0 : 1)}${suffix}`;
  }
  return String(Math.round(n));
}
