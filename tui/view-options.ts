/** What the list of events shows beside the events, and what a person has asked for in the panes: a part of the screen's state. Pure. */

/** Times: since the start of the recording, since the event before, of the day. */
export const TIME_COLUMNS = ['start', 'previous', 'day'] as const;
export type TimeColumn = (typeof TIME_COLUMNS)[number];

/** What a lane stands for. */
export const LANE_KINDS = ['thread', 'process', 'context'] as const;
export type LaneKind = (typeof LANE_KINDS)[number];

export interface ViewOptions {
  readonly time: TimeColumn;
  readonly lanes: LaneKind;
  /** the event whose `why` was asked for, however long that takes; 0 none */
  readonly why: number;
}

export const INITIAL_VIEW: ViewOptions = { time: 'start', lanes: 'thread', why: 0 };

export const TIME_WORDS: Readonly<Record<TimeColumn, string>> = {
  start: 'times are since the start of the recording',
  previous: 'times are since the event before',
  day: 'times are of the day',
};
export const LANE_WORDS: Readonly<Record<LaneKind, string>> = {
  thread: 'lanes are threads',
  process: 'lanes are processes',
  context: 'lanes are contexts',
};

const after = <T>(all: readonly T[], now: T): T => all[(all.indexOf(now) + 1) % all.length]!;

/** Does one of its actions. */
export function look(view: ViewOptions, action: 'column.time' | 'column.lanes' | 'detail.why', cursor: number): ViewOptions {
  switch (action) {
    case 'column.time':
      return { ...view, time: after(TIME_COLUMNS, view.time) };
    case 'column.lanes':
      return { ...view, lanes: after(LANE_KINDS, view.lanes) };
    case 'detail.why':
      return { ...view, why: cursor };
    default:
      return action satisfies never;
  }
}
