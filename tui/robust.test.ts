/** What befalls a program on the screen: long pastes, tiny terminals, traces that change or cannot be written. In a real terminal. */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { uapiTable } from '../hw/uapi/table.ts';
import { Script } from '../replayer/script.ts';
import { Start } from '../store/frame.ts';
import { TraceSide } from '../store/side.ts';
import { sampleTrace } from './cli/sample.ts';
import { MAIN } from './pictures/scenes.ts';
import { PROMPT_LIMIT } from './prompt.ts';
import { cells } from './term/text.ts';
import { longSession } from './testing.ts';
import { type Pane, quoteWord, Tmux, tmuxVersion } from './tmux.ts';

const tmux = new Tmux();
const inTerminal = describe.skipIf(tmuxVersion() === undefined).concurrent;
let folder = '';
const inFolder = (name: string): string => join(folder, name);
const program = (trace: string, ...options: readonly string[]): string =>
  ['node', MAIN, 'tui', inFolder(trace), ...options].map(quoteWord).join(' ');

beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('the program is not built: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'irr-robust-'));
  chmodSync(folder, 0o755);
  const { frames, table } = longSession(20_000);
  renameSync(sampleTrace(frames, table), inFolder('long.irr'));
  const small = longSession(60);
  renameSync(sampleTrace(small.frames, small.table), inFolder('small.irr'));
});
afterAll(() => {
  tmux.kill();
  rmSync(folder, { recursive: true });
});

const status = (screen: string): string => screen.split('\n').at(-2) ?? '';
const hints = (screen: string): string => screen.split('\n').at(-1) ?? '';

inTerminal('a text that is pasted', () => {
  const paste = (pane: Pane, text: string): void => pane.bytes(`\x1b[200~${text}\x1b[201~`);

  test('is taken whole, its first line; of one that is too long the beginning, and that is said', async () => {
    const pane = tmux.open(80, 24, program('small.irr'));
    await pane.press('&');
    const long = Array.from({ length: 40 }, (_, i) => `seq != ${i + 1000}`).join(' && ');
    expect(long.length).toBeGreaterThan(500);
    paste(pane, `${long}\nq`);
    pane.counted(1);
    const taken = await pane.press('<Enter>');
    expect(taken).toContain('(88 of 88)');
    await pane.press('&', '<C-u>');
    for (let n = 0; n < 4; n++) paste(pane, 'x'.repeat(900));
    pane.counted(4);
    expect(hints(await pane.settled())).toBe(` too long: a prompt takes ${PROMPT_LIMIT} characters, the rest is left out`);
    // there is an end to it: so many backspaces, and it is empty
    expect(status(await pane.press('<C-w>'))).toBe('&');
    pane.kill();
  });

  test('without brackets is typed, a megabyte of it too, and the next key is answered', async () => {
    const pane = tmux.open(80, 24, program('small.irr'));
    await pane.settled();
    const text = 'errno == 0 && '.repeat(70_000);
    for (const sign of ['&', '/', ':']) {
      await pane.press(sign);
      pane.paste(text);
      pane.counted(text.length);
      const full = await pane.settled();
      expect(hints(full)).toContain('too long');
      expect(await pane.press('<Escape>')).toContain('j/k step');
    }
    expect(await pane.press('G')).toContain('event 88/88');
    pane.kill();
  });
});

inTerminal('a terminal that is too small', () => {
  test.each([
    [20, 5, 'iommufd-rr needs\n40x10, this is 20x5'],
    [12, 4, 'iommufd-rr\nneeds 40x10,\nthis is 12x4'],
  ])('at %ix%i says what is needed, in as many rows as that takes', async (columns, rows, said) => {
    for (const options of [[], [inFolder('small.irr')]]) {
      const pane = tmux.open(columns, rows, program('small.irr', ...options));
      await pane.until(
        (screen) =>
          screen
            .map((row) => row.trimEnd())
            .join('\n')
            .trimEnd() === said,
        said,
      );
      pane.resize(1, 1);
      await pane.until((screen) => screen.length === 1 && screen[0] !== '', 'anything');
      pane.resize(80, 24);
      expect(await pane.settled()).toMatch(options.length === 0 ? /event 1\/88/ : /no difference/);
      pane.kill();
    }
  });
});

inTerminal('a trace with little in it', () => {
  test('one event: every way leads to it', async () => {
    const table = uapiTable('linux-7.2');
    const s = new Script(table, 1);
    s.start(Start.EXEC, 1, '/bin/x');
    renameSync(sampleTrace(s.frames, table), inFolder('one.irr'));
    const pane = tmux.open(80, 24, program('one.irr'));
    await pane.settled();
    for (const key of ['j', 'k', 'G', '50%', '}', '{', ']o', 'J', 'p', '<PageDown>', '3j']) {
      const screen = await pane.press(key);
      expect(screen).toContain('event 1/1');
      expect(screen.split('\n').at(-3)).toMatch(/^▲/);
    }
    pane.kill();
    const both = tmux.open(80, 24, program('one.irr', inFolder('one.irr')));
    expect(await both.settled()).toContain('no difference: 1 events on both sides');
    both.kill();
  });
});

inTerminal('a trace that changes while it is shown', () => {
  test('deleted, or another one in its place: it is shown to its end, and no bookmark goes astray', async () => {
    for (const how of ['deleted', 'replaced'] as const) {
      const name = `${how}.irr`;
      copyFileSync(inFolder('long.irr'), inFolder(name));
      const pane = tmux.open(120, 30, program(name));
      await pane.settled();
      if (how === 'deleted') rmSync(inFolder(name));
      else {
        copyFileSync(inFolder('small.irr'), inFolder('other.irr'));
        renameSync(inFolder('other.irr'), inFolder(name));
      }
      expect(await pane.press('15000G')).toContain('event 15000/');
      expect(status(await pane.press('ma'))).toMatch(/is no longer the trace that was opened; marks and notes last as/);
      expect(await pane.press('gg', "'a")).toContain('event 15000/');
      expect(readdirSync(folder)).not.toContain(`${name}.marks`);
      if (how === 'replaced') {
        const side = TraceSide.open(inFolder(name), { readonly: true });
        expect(side.marks()).toEqual([]);
        side.close();
      }
      pane.kill();
    }
  });

  test('cut to nothing: one line, and the terminal is given back', async () => {
    copyFileSync(inFolder('long.irr'), inFolder('cut.irr'));
    const pane = tmux.open(120, 30, `sh -c ${quoteWord(`${program('cut.irr')}; echo status $?; read end`)}`);
    await pane.settled();
    truncateSync(inFolder('cut.irr'), 0);
    pane.send('15000G');
    const screen = await pane.text('status 2');
    expect(screen).toMatch(
      /^iommufd-rr: \S+cut\.irr: .*\n {2}hint: it could be read when it was opened: it was changed since, or the disk fails\nstatus 2/,
    );
    expect(pane.ask('#{alternate_on} #{cursor_flag}')).toBe('0 1');
    pane.kill();
  });
});

// only a person who is not root can be refused
const nobody = process.getuid?.() === 0 ? 'setpriv --reuid 65534 --regid 65534 --clear-groups ' : '';

inTerminal('a directory that cannot be written', () => {
  test('bookmarks and notes last as long as the screen, and that is said', async () => {
    mkdirSync(inFolder('sealed'));
    copyFileSync(inFolder('small.irr'), inFolder('sealed/trace.irr'));
    chmodSync(inFolder('sealed/trace.irr'), 0o444);
    chmodSync(inFolder('sealed'), 0o555);
    const pane = tmux.open(140, 30, `${nobody}${program('sealed/trace.irr')}`);
    await pane.settled();
    expect(status(await pane.press('5Gma'))).toMatch(/permission denied; marks and notes last as long as this screen/);
    expect(await pane.press('Gmb', "'a")).toContain('event 5/88');
    expect(readdirSync(inFolder('sealed'))).toEqual(['trace.irr']);
    chmodSync(inFolder('sealed'), 0o755);
    pane.kill();
  });
});

/** What may stand in the program's output: modes, attributes, positions, erasing. */
const OURS = /\x1b\[(?:\?[0-9]+[hl]|[0-9;]*m|[0-9]+;[0-9]+H|2J|K)/g;

inTerminal('names that are wide, or mean harm', () => {
  test('frames stay straight, and nothing of them acts on the terminal: one trace and two', async () => {
    const evil = '漢字한\u{1f600}e\u0301\u202eabc\x1b[2J\x9b31m\x1b]0;owned\x07\u2066\u{e0041}\u1112\u1161';
    const table = uapiTable('linux-7.2');
    const s = new Script(table, 1);
    s.start(Start.EXEC, 1, `/bin/${evil}`);
    s.open(3);
    s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
    const name = '漢字\u{1f600}\x1b[31m.irr';
    renameSync(sampleTrace(s.frames, table, { command: [evil, evil], cwd: evil, kernel: evil, machine: evil }), inFolder(name));
    for (const [columns, rows] of [
      [80, 24],
      [60, 20],
      [140, 40],
    ] as const) {
      for (const options of [[], [inFolder(name)]]) {
        const pane = tmux.open(columns, rows, `sh -c ${quoteWord(`read go; exec ${program(name, ...options)}`)}`);
        const output = inFolder(`output-${columns}-${options.length}`);
        pane.record(output);
        pane.send('<Enter>');
        for (const keys of ['', 'z', '<Tab>', '?', 'q']) {
          const shown = await pane.press(...(keys === '' ? [] : [keys]));
          const framed = shown.split('\n').filter((row) => /^[┏┃┗┌│└]/.test(row));
          expect(framed.length).toBeGreaterThan(8);
          for (const row of framed) expect(cells(row), row).toBe(columns);
        }
        const written = readFileSync(output, 'utf8').replace(OURS, '');
        expect(written).toContain('漢字');
        expect(written.match(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\p{Cf}\p{M}\p{Emoji_Presentation}]/u)).toBeNull();
        expect(pane.ask('#{pane_title}')).not.toContain('owned');
        pane.kill();
      }
    }
  });
});

inTerminal('stopped from outside', () => {
  test.each([
    ['one trace', false],
    ['two traces', true],
  ])('%s: the terminal is given back, and taken again', async (_, two) => {
    const pane = tmux.open(
      80,
      24,
      `sh -c ${quoteWord(`${program('small.irr', ...(two ? [inFolder('small.irr')] : []))}; echo over; read end`)}`,
    );
    await pane.text(two ? 'no difference' : 'start');
    const shown = await pane.press('jjj');
    const flags = '#{alternate_on} #{cursor_flag} #{wrap_flag} #{mouse_standard_flag}';
    expect(pane.ask(flags)).toBe('1 0 0 1');
    process.kill(pane.pid(true), 'SIGTSTP');
    await pane.until(() => pane.ask(flags) === '0 1 1 0', 'the terminal');
    process.kill(pane.pid(true), 'SIGCONT');
    await pane.until(() => pane.ask(flags) === '1 0 0 1', 'the screen');
    expect(await pane.settled()).toBe(shown);
    expect(await pane.press('k', 'j')).toBe(shown);
    pane.send('q');
    await pane.text('over');
    pane.kill();
  });
});
