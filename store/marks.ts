/**
 * Bookmarks and notes of one person at one screen: in the trace itself where it is finished and may be written, else in a file
 * beside it, else in memory alone. What is shown is kept here; a file is open only while a change is written into it, so a
 * recording is never in anybody's way.
 */
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import * as z from 'zod/mini';
import { StoreError, storeError } from './errors.ts';
import type { TraceMeta } from './meta.ts';
import type { SqlValue } from './search.ts';
import { type Mark, TraceSide } from './side.ts';

/** Where the next change is kept. */
export type MarkPlace = 'trace' | 'beside' | 'memory';

/** What marks need of an open trace. */
export interface MarkSource {
  readonly path: string;
  readonly meta: TraceMeta;
  query(sql: string): Record<string, SqlValue>[];
}

/** Suffix of the file beside a trace. */
export const MARKS_SUFFIX = '.marks';
/** Bytes of the largest file beside a trace that is read. */
const FILE_LIMIT = 4 * 2 ** 20;
/** Marks or notes that are read. */
const ROW_LIMIT = 10_000;
/** Characters of the longest note. */
export const NOTE_LIMIT = 4096;
const NAME_LIMIT = 64;

const seq = z.int().check(z.minimum(1));
const schema = z.object({
  v: z.literal(1),
  kind: z.literal('iommufd-rr marks'),
  /** when the recording began: whose marks they are */
  recorded: z.string().check(z.maxLength(32)),
  marks: z.array(z.object({ name: z.string().check(z.minLength(1), z.maxLength(NAME_LIMIT)), seq })).check(z.maxLength(ROW_LIMIT)),
  notes: z.array(z.object({ seq, text: z.string().check(z.maxLength(NOTE_LIMIT)) })).check(z.maxLength(ROW_LIMIT)),
});
type Contents = z.infer<typeof schema>;

export class Marks {
  readonly #source: MarkSource;
  readonly #beside: string;
  readonly #marks = new Map<string, number>();
  readonly #notes = new Map<number, string>();
  #place: MarkPlace;
  #trouble: string | undefined;
  /** there is a file beside the trace, and it is ours */
  #besideThere = false;
  /** there is one that is not ours */
  #besideTaken = false;
  /** which file the trace was */
  readonly #file: string;
  #version = 0;

  /** Reads what there is. Never throws: what is wrong is said by {@link trouble}. */
  constructor(source: MarkSource) {
    this.#source = source;
    this.#beside = source.path + MARKS_SUFFIX;
    this.#file = fileOf(source.path);
    // a recording that runs, or that was killed, is not ours to write
    this.#place = source.meta.complete ? 'trace' : 'beside';
    this.#guard(() => this.#readBeside());
    this.#guard(() => this.#readTrace());
  }

  get place(): MarkPlace {
    return this.#place;
  }
  /** One line on what could not be read or written; undefined where all is well. */
  get trouble(): string | undefined {
    return this.#trouble;
  }
  /** Grows with every change. */
  get version(): number {
    return this.#version;
  }

  /** By number of the event, then by name. */
  get all(): readonly Mark[] {
    return [...this.#marks].map(([name, at]) => ({ name, seq: at })).sort((a, b) => a.seq - b.seq || (a.name < b.name ? -1 : 1));
  }
  /** Number of the event that has a bookmark. */
  mark(name: string): number | undefined {
    return this.#marks.get(name);
  }
  /** Names of the bookmarks of an event. */
  namesAt(at: number): readonly string[] {
    return [...this.#marks].filter(([, own]) => own === at).map(([name]) => name);
  }
  note(at: number): string | undefined {
    return this.#notes.get(at);
  }
  /** By number of the event. */
  get notes(): readonly { readonly seq: number; readonly text: string }[] {
    return [...this.#notes].map(([own, text]) => ({ seq: own, text })).sort((a, b) => a.seq - b.seq);
  }

  /** Sets or moves a bookmark; undefined takes it away. */
  setMark(name: string, at: number | undefined): void {
    if (at === undefined) this.#marks.delete(name);
    else this.#marks.set(name, at);
    this.#keep((side) => (at === undefined ? side.removeMark(name) : side.setMark(name, at)));
  }

  /** The note of an event, in place of what there was; '' takes it away. */
  setNote(at: number, text: string): void {
    const kept = text.slice(0, NOTE_LIMIT);
    if (kept === '') this.#notes.delete(at);
    else this.#notes.set(at, kept);
    this.#keep((side) => {
      for (const note of side.notes()) if (note.seq === at) side.removeNote(note.id);
      if (kept !== '') side.addNote(at, kept);
    });
  }

  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      const known = storeError(error, this.#source.path);
      if (!(known instanceof StoreError)) throw known;
      this.#trouble = known.message;
    }
  }

  #readTrace(): void {
    for (const row of this.#source.query(`SELECT substr(name, 1, ${NAME_LIMIT}) AS name, seq FROM marks ORDER BY seq LIMIT ${ROW_LIMIT}`)) {
      const at = Number(row.seq);
      if (at >= 1 && row.name !== '') this.#marks.set(String(row.name), at);
    }
    const notes = new Map<number, string>();
    for (const row of this.#source.query(
      `SELECT seq, substr(text, 1, ${NOTE_LIMIT}) AS text FROM notes ORDER BY seq, id LIMIT ${ROW_LIMIT}`,
    )) {
      const at = Number(row.seq);
      const before = notes.get(at);
      notes.set(at, before === undefined ? String(row.text) : `${before} / ${row.text}`.slice(0, NOTE_LIMIT));
    }
    for (const [at, text] of notes) if (at >= 1) this.#notes.set(at, text);
  }

  #readBeside(): void {
    const path = this.#beside;
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return;
    const found = stat.isFile() && stat.size <= FILE_LIMIT ? contentsOf(readFileSync(path, 'utf8')) : undefined;
    const ours = found?.recorded === recordedAt(this.#source.meta);
    if (found === undefined || !ours) {
      const what = !stat.isFile() ? 'not a regular file' : stat.size > FILE_LIMIT ? 'too long for a file of marks' : undefined;
      this.#leave(what ?? (found === undefined ? 'damaged, or not a file of marks' : 'the marks of another recording'));
      return;
    }
    for (const m of found.marks) this.#marks.set(m.name, m.seq);
    for (const n of found.notes) this.#notes.set(n.seq, n.text);
    this.#besideThere = true;
  }

  /** What is beside the trace may be somebody's work: it is not written over. */
  #leave(why: string): void {
    this.#trouble = `${this.#beside}: ${why}; it is left alone`;
    this.#besideTaken = true;
    if (this.#place === 'beside') this.#place = 'memory';
  }

  /** Writes a change where it belongs; where that cannot be, at the next place. */
  #keep(change: (side: TraceSide) => void): void {
    this.#version++;
    this.#trouble = undefined;
    if (this.#place === 'trace' && this.#inTrace(change)) {
      // what stood beside the trace stays there, as it is now
      if (this.#besideThere) this.#writeBeside();
      return;
    }
    if (this.#place === 'beside' && !this.#writeBeside()) this.#place = 'memory';
  }

  #inTrace(change: (side: TraceSide) => void): boolean {
    if (fileOf(this.#source.path) !== this.#file) {
      this.#place = 'memory';
      this.#trouble = `${this.#source.path}: is no longer the trace that was opened; marks and notes last as long as this screen`;
      return false;
    }
    try {
      const side = TraceSide.open(this.#source.path);
      try {
        change(side);
      } finally {
        side.close();
      }
      return true;
    } catch (error) {
      const known = storeError(error, this.#source.path);
      if (!(known instanceof StoreError)) throw known;
      this.#place = this.#besideTaken ? 'memory' : 'beside';
      return false;
    }
  }

  /** Whole or not at all: a new file takes the place of the old one. */
  #writeBeside(): boolean {
    const contents: Contents = {
      v: 1,
      kind: 'iommufd-rr marks',
      recorded: recordedAt(this.#source.meta),
      marks: [...this.all],
      notes: [...this.notes],
    };
    const partial = `${this.#beside}.${process.pid}`;
    try {
      writeFileSync(partial, `${JSON.stringify(contents, undefined, 1)}\n`, { flag: 'wx', mode: 0o644 });
      renameSync(partial, this.#beside);
      this.#besideThere = true;
      return true;
    } catch (error) {
      rmSync(partial, { force: true });
      const known = storeError(error, this.#beside);
      if (!(known instanceof StoreError)) throw known;
      this.#trouble = `${known.message}; marks and notes last as long as this screen`;
      return false;
    }
  }
}

/** Tells a file from another one that takes its name; '' where there is none. */
function fileOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  return stat === undefined ? '' : `${stat.dev} ${stat.ino}`;
}

const recordedAt = (meta: TraceMeta): string => `0x${meta.clock.realtimeNs.toString(16)}`;

/** undefined: not what we write. */
function contentsOf(text: string): Contents | undefined {
  try {
    return z.safeParse(schema, JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
