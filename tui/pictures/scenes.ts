/** Pictures of the screens, made by the screens: the built program in a terminal, a person's keys, and what is on it then. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Pane, quoteWord, type Tmux } from '../tmux.ts';
import { cellsOf } from './screen.ts';
import { svgOf } from './svg.ts';

export interface Scene {
  /** of the file, without its ending */
  readonly name: string;
  readonly title: string;
  /** a recorded session, or a scenario to simulate */
  readonly trace: string | { readonly scenario: string };
  readonly columns: number;
  readonly rows: number;
  /** as tmux has them: `<Enter>`, anything else is typed */
  readonly keys: readonly string[];
  /** what must be there to be read */
  readonly shows: readonly string[];
}

/** Keys that a person presses. */
export const keysPressed = ({ keys }: Scene): number => keys.reduce((n, k) => n + (/^<.+>$/.test(k) ? 1 : [...k].length), 0);

export const SCENES: readonly Scene[] = [
  {
    name: 'ebusy',
    title: 'The call that failed with EBUSY, what held the object, and the objects of that instant',
    trace: 'vmm-7.2.irr',
    columns: 120,
    rows: 36,
    keys: ['/busy', '<Enter>'],
    shows: [
      'IOMMU_DESTROY  = -1 EBUSY  Device or resource busy',
      'why      DEVICE 4 is held by the driver that bound it and SELFTEST 3',
      'because  SELFTEST 3, made at event 27',
      '1/14 hits',
    ],
  },
  {
    name: 'cmdqv',
    title: 'A queue of the CMDQV that has stopped at a command, with the commands that wait in it',
    trace: { scenario: 'error' },
    columns: 120,
    rows: 32,
    keys: ['72G', '6', 'z'],
    shows: ['PROD 3 store 71', 'CONS_INDX.ERR is ACCESS at entry 1: TLBI_NH_ALL; 2 commands wait', 'CMD_SYNC'],
  },
];

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The place of a folder of the project, from the sources and from the built program alike. */
export const inProject = (path: string): string => join(ROOT.replace(/dist\/$/, ''), path);
export const MAIN = inProject('dist/bin/iommufd-rr.js');
export const pictureFile = (scene: Scene): string => inProject(`fixtures/pictures/${scene.name}.svg`);

export interface Taken {
  /** as it reads */
  readonly text: string;
  readonly svg: string;
}

/** Runs the program on a scene's trace, presses its keys, and takes a picture. */
export async function take(tmux: Tmux, scene: Scene): Promise<Taken> {
  const folder = mkdtempSync(join(tmpdir(), 'irr-picture-'));
  try {
    const pane = tmux.open(scene.columns, scene.rows, ['node', MAIN, traceOf(scene, folder)].map(quoteWord).join(' '));
    await pane.settled();
    const text = await pane.press(...scene.keys);
    const svg = svgOf(cellsOf(withoutMark(pane, scene), scene.columns), scene.title);
    pane.kill();
    return { text, svg };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function traceOf({ trace }: Scene, folder: string): string {
  if (typeof trace === 'string') return inProject(`fixtures/traces/${trace}`);
  const path = join(folder, `${trace.scenario}.irr`);
  execFileSync('node', [MAIN, 'simulate', trace.scenario, '-o', path], { stdio: 'ignore' });
  return path;
}

/** The rows with their attributes; the mark for tests, at the end of the status line, is left out. */
const withoutMark = (pane: Pane, { rows }: Scene): string[] =>
  pane.rows(true).map((row, y) => (y === rows - 2 ? row.replace(/\d+[·.](?=(\x1b\[[0-9;]*m)*$)/, '') : row));
