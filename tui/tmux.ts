/**
 * A real terminal for tests: a tmux server of one's own, with the built program in it. A test presses keys and waits for the
 * mark that the program shows when all of them are taken and nothing is under way (IRR_TEST=1); nothing sleeps.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ExpectStatic } from 'vitest';

/** Milliseconds from one look at the screen to the next, and after which waiting is given up. */
const LOOK = 40;
const PATIENCE = 20_000;

export function tmuxVersion(): string | undefined {
  const ran = spawnSync('tmux', ['-V'], { encoding: 'utf8' });
  return ran.status === 0 ? ran.stdout.trim() : undefined;
}

export const quoteWord = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** A tmux server; its sessions end with it. */
export class Tmux {
  readonly socket = `irr-${process.pid}`;
  #sessions = 0;

  run(...words: readonly string[]): string {
    return execFileSync('tmux', ['-u', '-L', this.socket, '-f', '/dev/null', ...words], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** A terminal that runs a command of the shell. `env` is added to what the tests run with; undefined takes away. */
  open(columns: number, rows: number, command: string, env: Readonly<Record<string, string | undefined>> = {}): Pane {
    const name = `s${++this.#sessions}`;
    const wanted = { TZ: 'UTC', LC_ALL: 'C.UTF-8', IRR_TEST: '1', NO_COLOR: undefined, CI: undefined, NODE_OPTIONS: undefined, ...env };
    const words = Object.entries(wanted).map(([key, value]) => (value === undefined ? `-u ${key}` : quoteWord(`${key}=${value}`)));
    // options first: env takes no -u behind an assignment
    const sorted = words.sort((a, b) => Number(b.startsWith('-u')) - Number(a.startsWith('-u')));
    this.run('new-session', '-d', '-s', name, '-x', String(columns), '-y', String(rows), `exec env ${sorted.join(' ')} ${command}`);
    this.run('set-option', '-t', name, 'remain-on-exit', 'on');
    if (this.#sessions === 1) {
      // a server that ends with its last session is in the way of the next one
      this.run('set-option', '-s', 'exit-empty', 'off');
      this.#watch();
    }
    return new Pane(this, name, columns, rows);
  }

  /** Where the tests are killed themselves, nobody calls kill. */
  #watch(): void {
    const alive = `kill -0 ${process.pid} 2>/dev/null`;
    this.run('run-shell', '-b', `while ${alive}; do sleep 1; done; tmux -L ${this.socket} kill-server 2>/dev/null`);
  }

  kill(): void {
    spawnSync('tmux', ['-L', this.socket, 'kill-server']);
  }
}

export class Pane {
  readonly #tmux: Tmux;
  readonly #name: string;
  /** keys that the program must have taken */
  #keys = 0;

  #columns: number;
  #rows: number;

  constructor(tmux: Tmux, name: string, columns: number, rows: number) {
    this.#tmux = tmux;
    this.#name = name;
    this.#columns = columns;
    this.#rows = rows;
  }

  /** A format of tmux about this terminal: `#{alternate_on}`. */
  ask(format: string): string {
    return this.#tmux.run('display-message', '-p', '-t', this.#name, format).trim();
  }

  /** Rows as they stand on the terminal; with `colours` as tmux writes attributes, and whole. */
  rows(colours = false): string[] {
    const text = this.#tmux.run('capture-pane', '-p', ...(colours ? ['-e', '-N'] : []), '-t', this.#name);
    return text.replace(/\n$/, '').split('\n');
  }

  /** Keys that nobody counts: for a shell. `<Enter>` is the key of that name as tmux has it, anything else is typed. */
  send(...keys: readonly string[]): void {
    for (const key of keys) {
      const named = /^<(.+)>$/.exec(key)?.[1];
      this.#tmux.run('send-keys', '-t', this.#name, ...(named === undefined ? ['-l', key] : [named]));
    }
  }

  /** Bytes as they are, in one piece: what a terminal sends for the mouse. */
  bytes(text: string): void {
    this.#tmux.run('send-keys', '-t', this.#name, '-H', ...[...Buffer.from(text)].map((b) => b.toString(16)));
  }

  /** A text of any length, typed as fast as the terminal takes it. */
  paste(text: string): void {
    const buffer = `b${this.#name}`;
    execFileSync('tmux', ['-L', this.#tmux.socket, 'load-buffer', '-b', buffer, '-'], { input: text });
    this.#tmux.run('paste-buffer', '-d', '-b', buffer, '-t', this.#name);
  }

  /** Presses keys and waits until the program has done what they ask for. → the screen, without the mark */
  async press(...keys: readonly string[]): Promise<string> {
    for (const key of keys) {
      this.send(key);
      this.#keys += /^<.+>$/.test(key) ? 1 : [...key].length;
    }
    return await this.settled();
  }

  /** So many keys that were sent without counting have come to the program. */
  counted(keys: number): void {
    this.#keys += keys;
  }

  /** Waits until the program has taken all keys, drawn the whole screen and has nothing more to do. → the screen, without the mark */
  async settled(): Promise<string> {
    const [columns, rows] = [this.#columns, this.#rows];
    const mark = new RegExp(` ${this.#keys}[·.]$`);
    const whole = (screen: readonly string[]): boolean => {
      const status = screen[rows - 2] ?? '';
      // the lower edge of the panes: the rows of the overview below it may end in blanks
      const edge = screen.slice(Math.max(0, rows - 5), rows - 2).some((row) => [...row].length === columns);
      return [...status].length === columns && mark.test(status) && edge;
    };
    const shown = await this.until(whole, `the mark ${this.#keys}`);
    return shown
      .map((row, y) => (y === rows - 2 ? row.replace(mark, '') : row))
      .map((row) => row.trimEnd())
      .join('\n');
  }

  /** Waits until the screen is as wanted; with what was there instead when that does not come. */
  async until(wanted: (rows: readonly string[]) => boolean, what: string): Promise<string[]> {
    const end = performance.now() + PATIENCE;
    for (;;) {
      const rows = this.rows();
      if (wanted(rows)) return rows;
      if (performance.now() > end) throw new Error(`waited in vain for ${what}; on the screen:\n${rows.join('\n')}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK));
    }
  }

  /** Waits for a text anywhere on the screen. → the screen */
  async text(wanted: string | RegExp): Promise<string> {
    const has = (rows: readonly string[]): boolean => {
      const all = rows.join('\n');
      return typeof wanted === 'string' ? all.includes(wanted) : wanted.test(all);
    };
    return (await this.until(has, String(wanted))).join('\n');
  }

  resize(columns: number, rows: number): void {
    this.#columns = columns;
    this.#rows = rows;
    this.#tmux.run('resize-window', '-t', this.#name, '-x', String(columns), '-y', String(rows));
  }

  /** All bytes that the program writes from now on go into a file. */
  record(path: string): void {
    this.#tmux.run('pipe-pane', '-t', this.#name, `cat > ${quoteWord(path)}`);
  }

  /** The process in the terminal; with `child` the first one that it has started. */
  pid(child = false): number {
    const pid = Number(this.ask('#{pane_pid}'));
    if (!child) return pid;
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0]);
  }

  kill(): void {
    this.#tmux.run('kill-session', '-t', this.#name);
  }
}

const GOLDEN = fileURLToPath(new URL('../fixtures/golden/screens', import.meta.url));

/** Holds a screen against the golden one. `size`: its folder, as "80x24". `own`: the test's own expect, for tests run side by side. */
export async function golden(own: ExpectStatic, size: string, name: string, screen: string): Promise<void> {
  await own(`${screen}\n`).toMatchFileSnapshot(`${GOLDEN}/${size}/${name}.txt`);
}
