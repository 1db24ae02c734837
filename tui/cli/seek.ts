/** A timeline at a point that the command line names, with progress on the way. */
import { Timeline } from '../../replayer/timeline.ts';
import { Progress } from './output.ts';
import { type Opened, pointOf } from './trace.ts';

export function seekTo(opened: Opened, at: string): Timeline {
  const seq = pointOf(at, opened.reader);
  const progress = new Progress('folding');
  const timeline = new Timeline(opened.reader, { table: opened.table, onProgress: (done, total) => progress.update(done, total) });
  timeline.seek(seq);
  progress.done();
  return timeline;
}
