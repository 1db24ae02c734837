/** What the kernel, trace-cmd and perf print about events that were lost (kernel/trace/trace.c, trace_output.c; trace-cmd's trace-read.c). */

const LOST =
  /^CPU:\s?(\d{1,5}) \[(?:LOST (?:(\d{1,15}) )?EVENTS|(?:(\d{1,15}) )?EVENTS DROPPED)\]\s*$|^.{0,200}PERF_RECORD_LOST lost (\d{1,15})\s*$/;
const ENTRIES = /^# entries-in-buffer\/entries-written: (\d{1,15})\/(\d{1,15})/;

export interface Loss {
  /** 0: it does not say how many */
  readonly events: number;
  readonly words: string;
}

/** The loss that a line tells; undefined where it tells none. */
export function lossIn(line: string): Loss | undefined {
  const entries = line.startsWith('# e') ? ENTRIES.exec(line) : null;
  if (entries !== null) {
    const events = Number(entries[2]) - Number(entries[1]);
    return events > 0 ? { events, words: 'the buffer of the kernel was full: the oldest events were written over' } : undefined;
  }
  const lost = LOST.exec(line);
  if (lost === null) return undefined;
  return { events: Number(lost[2] ?? lost[3] ?? lost[4] ?? 0), words: lost[1] === undefined ? 'perf lost them' : `lost on CPU ${lost[1]}` };
}
