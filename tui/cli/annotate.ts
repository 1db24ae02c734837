/** `annotate`: notes and bookmarks from the command line, the same as those of the screens. */
import { escapeText } from '../../hw/quote.ts';
import { IrrError } from '../../store/errors.ts';
import { MARKS_SUFFIX, Marks, NOTE_LIMIT } from '../../store/marks.ts';
import type { Io, Options, Run } from './commands.ts';
import { UsageError } from './errors.ts';
import { openTrace } from './trace.ts';

/** Characters of the longest name of a bookmark. */
const NAME_LIMIT = 64;

export const run: Run = async ([path = '', where, ...words], options, io) => {
  const opened = openTrace(path);
  try {
    const marks = new Marks(opened.reader);
    const before = marks.trouble;
    if (before !== undefined) io.note(escapeText(before));
    if (options.list === true || where === undefined) {
      if (options.list !== true) throw new UsageError('annotate: which event?', 'annotate TRACE SEQ TEXT; --list shows what there is');
      if (where !== undefined) throw new UsageError('annotate: --list takes the trace alone');
      list(marks, options, io);
      return 0;
    }
    const seq = seqOf(where, opened.reader.last);
    change(marks, seq, words.join(' '), options, io);
    kept(marks, path, io);
  } finally {
    opened.reader.close();
  }
  return 0;
};

function seqOf(text: string, last: number): number {
  const seq = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (seq < 1 || seq > last)
    throw new UsageError(`there is no event ${text}`, last === 0 ? 'the trace is empty' : `events are numbered 1 to ${last}`);
  return seq;
}

function change(marks: Marks, seq: number, text: string, options: Options, io: Io): void {
  const name = typeof options.mark === 'string' ? options.mark : undefined;
  if (options.remove === true) {
    if (text !== '') throw new UsageError('annotate: --remove takes no text');
    remove(marks, seq, name, io);
    return;
  }
  if (text === '' && name === undefined)
    throw new UsageError('annotate: what is there to say?', 'annotate TRACE SEQ TEXT, or --mark NAME, or --remove');
  if (text.length > NOTE_LIMIT)
    throw new UsageError(`annotate: ${text.length} characters are too many for a note`, `at most ${NOTE_LIMIT}`);
  if (name === '' || (name?.length ?? 0) > NAME_LIMIT) throw new UsageError(`annotate: --mark: a name has 1 to ${NAME_LIMIT} characters`);
  if (name !== undefined) {
    const from = marks.mark(name);
    marks.setMark(name, seq);
    io.note(`bookmark ${name} ${from === undefined || from === seq ? 'is' : `was at event ${from}, and is now`} at event ${seq}`);
  }
  if (text === '') return;
  const old = marks.note(seq);
  marks.setNote(seq, text);
  io.note(old === undefined ? `noted at event ${seq}` : `noted at event ${seq}, in place of: ${old}`);
}

function remove(marks: Marks, seq: number, name: string | undefined, io: Io): void {
  const names = name === undefined ? marks.namesAt(seq) : marks.namesAt(seq).filter((own) => own === name);
  const note = name === undefined ? marks.note(seq) : undefined;
  if (names.length === 0 && note === undefined)
    throw new UsageError(
      `event ${seq} has no ${name === undefined ? 'note and no bookmark' : `bookmark ${name}`}`,
      '--list shows what there is',
    );
  for (const own of names) {
    marks.setMark(own, undefined);
    io.note(`bookmark ${own} of event ${seq} is gone`);
  }
  if (note === undefined) return;
  marks.setNote(seq, '');
  io.note(`the note of event ${seq} is gone: ${note}`);
}

/** Says where the change is, where it is not in the trace. */
function kept(marks: Marks, path: string, io: Io): void {
  if (marks.place === 'memory')
    throw new IrrError('permission', `${marks.trouble ?? `${path}: neither it nor a file beside it can be written`}`, {
      hint: 'copy the trace to where you may write',
    });
  if (marks.place === 'beside') io.note(`kept in ${path}${MARKS_SUFFIX}: the trace itself is not ours to write, or still recorded`);
}

function list(marks: Marks, options: Options, io: Io): void {
  const out = io.out();
  const seqs = [...new Set([...marks.all, ...marks.notes].map((m) => m.seq))].sort((a, b) => a - b);
  for (const seq of seqs) {
    const [bookmarks, note] = [marks.namesAt(seq), marks.note(seq)];
    if (options.json === true) out.json({ v: 1, seq, bookmarks, note: note ?? null });
    else {
      for (const name of bookmarks) out.line(`${seq} bookmark ${name}`);
      if (note !== undefined) out.line(`${seq} ${note}`);
    }
  }
}
