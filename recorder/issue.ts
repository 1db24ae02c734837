/** Plans issued on this machine's kernel one after another, each waited for: what each records is read at once, and nothing stays. */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { IrrError } from '../store/errors.ts';
import { FRAME_AT } from '../store/frame.ts';
import type { TraceMeta } from '../store/meta.ts';
import { ENDED, folderInMemory, rerunProgram } from './rerun.ts';
import { Spool } from './spool.ts';
import { compactFrame } from './spool-frame.ts';
import { LAYOUT } from './spool-layout.ts';

export interface Issued {
  /**
   * done: all was issued. hung: a call did not return, or its process was gone, and the rest was not issued. stuck: so, and a process of it
   * lives on although it was killed, inside the kernel. lost: there was no room to record all. stopped: by Ctrl-C.
   */
  readonly ended: 'done' | 'hung' | 'stuck' | 'lost' | 'stopped';
  /** what it recorded, in order of entry */
  readonly frames: readonly Buffer[];
  /** what the program says of how it went, one line */
  readonly said: string;
}

/** What is known of the machine. */
export type MachineMeta = Pick<TraceMeta, 'kernel' | 'machine' | 'cpu' | 'clock'>;

export class Issuer {
  readonly #program = rerunProgram();
  readonly #folder: string;
  #machine: MachineMeta | undefined;

  /** Throws where the program that issues plans was not built. */
  constructor() {
    this.#folder = folderInMemory();
  }

  /** Of what was issued last; undefined before. */
  get machine(): MachineMeta | undefined {
    return this.#machine;
  }

  /** Issues a plan. `words`: for the program, --mmio, --vfio. Throws an IrrError where it cannot, or does not want to. */
  issue(plan: Uint8Array, words: readonly string[]): Issued {
    const [path, spool] = [join(this.#folder, 'plan'), join(this.#folder, 'spool')];
    try {
      writeFileSync(path, plan);
      const { status, signal, stderr, error } = spawnSync(this.#program, [...words, path, '-o', spool], {
        stdio: ['ignore', 'ignore', 'pipe'],
        encoding: 'utf8',
      });
      if (error !== undefined) throw new IrrError('not-rerun', `${this.#program}: cannot be started (${error.message})`);
      // what the program says first is what it did not get on with
      const [said = ''] = stderr.trim().split('\n');
      if (signal === 'SIGINT') return { ended: 'stopped', frames: [], said };
      const how = ENDED[status ?? -1];
      if (how === undefined) throw new IrrError('not-rerun', `nothing was issued: ${said || (signal ?? `exit status ${status}`)}`);
      const { frames, lost } = this.#read(spool);
      const hung = frames.some(lives) ? 'stuck' : 'hung';
      return { ended: how === 'hung' ? hung : lost ? 'lost' : 'done', frames, said };
    } finally {
      for (const file of [path, spool]) rmSync(file, { force: true });
    }
  }

  #read(path: string): { readonly frames: readonly Buffer[]; readonly lost: boolean } {
    const spool = new Spool(path, false);
    try {
      const { kernel, machine, cpu, realtimeNs, monotonicNs } = spool.header;
      this.#machine = { kernel, machine, cpu, clock: { realtimeNs, monotonicNs } };
      spool.settle();
      return { frames: [...framesIn(spool)], lost: spool.lost.some((n) => n > 0) };
    } finally {
      spool.close();
    }
  }

  /** Leaves nothing behind. */
  done(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The frames of a spool that nobody writes into any more, in order of entry. What a process that was killed left unfilled is passed over. */
function* framesIn(spool: Spool): Generator<Buffer> {
  const { tail } = spool;
  let segment = -1;
  for (let at = 0; at < tail; ) {
    if (Math.floor(at / LAYOUT.segment) !== segment) {
      segment = Math.floor(at / LAYOUT.segment);
      spool.refresh(at, tail);
    }
    const found = spool.at(at, tail);
    if (found.what === 'end') return;
    if (found.what === 'hole') {
      at = spool.nextMark(at + LAYOUT.stride, tail);
      segment = -1;
      continue;
    }
    const position = at;
    if (found.what === 'frame') yield Buffer.from(compactFrame(found.frame, (bytes) => spool.pieces(position, bytes, tail)));
    at = found.next;
  }
}

/** Does the process of an event live, as the program that issues plans? One that has ended and was not waited for does not. */
function lives(frame: Buffer): boolean {
  try {
    const [, name, state] = /\((.*)\) (.)/s.exec(readFileSync(`/proc/${frame.readUInt32LE(FRAME_AT.pid)}/stat`, 'latin1')) ?? [];
    return name === 'irr-rerun' && state !== 'Z' && state !== 'X';
  } catch {
    return false;
  }
}
