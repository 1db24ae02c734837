/** Longer help: the filter language, and the JSON that scripts rely on. */
import { KIND_NAMES } from '../../hw/event-words.ts';
import { type CHANGE_WORDS, type COLUMNS, type FLAGS, OBJECT_WORDS } from '../../replayer/query.ts';
import { columns, section, wrapped } from './help.ts';

/** What the columns mean; the keys are those of the language. */
const COLUMN_TEXTS: { readonly [C in keyof typeof COLUMNS]: string } = {
  seq: 'number of the event',
  t: 'seconds since the start: t in 12.0..12.1',
  took: 'time inside the call: took > 1ms, took > 800us (seconds without a unit)',
  pid: 'process',
  tid: 'thread',
  fd: 'descriptor that the call was made on, -1 where there is none',
  file: 'number of the open file, the same for all its descriptors',
  context: 'number of the iommufd context',
  ret: 'return value',
  errno: 'number or name: errno == EBUSY, errno != 0, errno in (EIO, EINVAL)',
  kind: `kind of event: ${KIND_NAMES.filter((name) => name !== 'pad' && name !== 'part').join(', ')}`,
  call: 'name of the call, IOMMU_ and VFIO_ may be left out: call == HW_QUEUE_ALLOC, call ~ HWPT',
};

const FLAG_TEXTS: { readonly [F in (typeof FLAGS)[number]]: string } = {
  error: 'the call failed',
  unfinished: 'the call had not returned when it was stored',
};

const CHANGE_TEXTS: { readonly [W in (typeof CHANGE_WORDS)[number]]: string } = {
  created: 'the event made such an object: created(hw_queue), created(object 7)',
  destroyed: 'the event ended it, by a call or as a consequence: destroyed(viommu 6)',
  changed: 'the event changed it, or anything at all: changed(ioas 1), changed()',
};

/** `iommufd-rr help expressions` */
export function expressionsText(): string {
  const types = Object.keys(OBJECT_WORDS).join(', ');
  return (
    `${wrapped('An expression picks events by content. Comparisons are == != < <= > >=, ranges in a..b (each end may be left out), lists in (a, b), patterns ~ and !~ (regular expressions, without regard to case). They are joined with && || ! and parentheses, or and, or, not.', 0)}\n` +
    section('Columns', columns(Object.entries(COLUMN_TEXTS))) +
    section(
      'Objects',
      columns([
        ['object == 7', 'the event names object 7, or is about it'],
        [
          'object == viommu 4',
          'the same, for an object that is of this type at that moment; of a vIOMMU or queue also what is loaded and stored in it',
        ],
        ['types', types],
      ]),
    ) +
    section(
      'Registers of a CMDQV (Tegra241)',
      columns([
        [
          'reg == PROD_INDX',
          'the event stores, loads or shows such a register, or changes it: reg == VINTF1.LVCMDQ0.GERROR, reg == LVCMDQ1',
        ],
        ['LVCMDQ0.GERROR != 0', 'the value that it brings, or makes of it, compares so'],
        ['CONS_INDX.ERR == ILLEGAL', 'a field of it, with a number or the name of a value'],
      ]),
    ) +
    section('Changes of the state', columns(Object.entries(CHANGE_TEXTS))) +
    section('Words that stand alone', columns(Object.entries(FLAG_TEXTS))) +
    section(
      'Fields of calls, by name',
      columns([
        ['index > 0', 'of the struct, or of what it points to; a field that a call changes has two values, an array many: one must fit'],
        ['type == TEGRA241_CMDQV', 'a constant by its name or the end of it'],
        ['flags & NEST_PARENT', 'all these bits are set'],
        ['path ~ vfio', 'texts: path, exe, argv, comm, cwd'],
      ]),
    ) +
    `\n${wrapped('A comparison with something that an event does not have is false, != too.', 0)}\n`
  );
}

/** `iommufd-rr help json` */
export function jsonText(): string {
  return (
    `${wrapped('Every object has "v": 1. Fields are added, never renamed. u64 are "0x…" strings; t, took and duration are nanoseconds; errno is a name, null on success. Lists are printed one object per line.', 0)}\n` +
    section(
      'Shapes',
      columns(
        [
          [
            'info',
            '{v, events, dropped, duration, kernel, dialect, processes, complete, ioctls, errors, gaps, iommufds, machine, cpu, command, cwd, started, exit, tool, source, digest, bookmarks, notes, processList: [{pid, exe, events}]}',
          ],
          ['verify', '{v, ok, events, complete, digest, problems: [{seq?, chunk?, text}]}'],
          [
            'show',
            '{v, seq, t, took, pid, tid, kind, call, fd, file, context, object, ret, errno, args, out?, nested?: {field: {in?, out?}}, register?, fields?, registers?, region?, page0?, entries?, returnOf?, changes?, bookmarks?, note?, parts?}; took and ret are null while the call has not returned; parts (bytes as hex) with --full; changes with --changes; bookmarks and note with --notes',
          ],
          [
            'stats',
            '{v, calls: [{call, count, failed, unfinished, errors: {name: count}, took: {min, p50, p90, p99, max, total}}], processes: [{pid, count, errors, took}], pathways?: {trapped, direct: {ioctls, exits, accesses, commands, byCommand, invalidations, commandsPerIoctl, callsPerInvalidation, …}, otherExits}}; null where the log does not tell',
          ],
          [
            'state',
            '{v, seq, digest, dropped, processes, files, contexts: [{context, fds, objects: [{id, type, createdAt, users, parents, references, …}], …}], calls, sent, cmdqv: [{vintf, viommu, context, page0, sids, lvcmdqs: [{index, queue, base, log2size, prod, cons, enabled, acknowledged, gerror, gerrorn, err, used, done, unsynced, pending: [{index, text}], troubles, registers}], registers: {name: {value, text, from, by?, since}}}], cmdqvGlobal?: {size, aperture?, registers, guests}}; unknown is null; with --digest {v, seq, digest}',
          ],
          [
            'diff',
            '{v, equal, eventsA, eventsB, matched, same, count, firstDivergence: {seqA, seqB, what, kind} or null, differences: [{seqA, seqB, kind, call, field, a, b, known, fields: [{name, answer, a, b}], sideA, sideB: {opinion, why}, consequences: [{seqA, seqB, kind, call, by, may}]}], ignored: {rule: count}, stat: [{kind, call, causes, consequences, ignored}], limits, timing?: {level, tested, recordings, rows: [{call, errno, a, b: {count, median, p99}, test?: {u, slower, p, exact, corrected, noise?, differs}}]}, verdict?, because?}; seqA and seqB are null where the side has no such event; kind is errno, output, records, hardware, question, only-a or only-b; timing with --timing; verdict (good, bad, cannot tell, stop) with --since',
          ],
          [
            'rerun',
            'what diff prints, and {output, taken: [{seq, what, reason}]}: answers, or fields of them, that are as they were recorded because the model does not know them; seq is of the recording',
          ],
          [
            'reduce',
            '{v, output, keep, seq, rule, events, of, was, trials, unknown, unsure, complete}: seq is the event that stays, rule what refused it; was: of each event its number in the recording, 0 where it has none; unsure: why the model does not know the answer, null where it does; unknown: sessions that the oracle could not tell of; complete is false where it was stopped',
          ],
        ],
        8,
      ),
    )
  );
}
