/** The thread that reads one of two traces. */
import { parentPort, workerData } from 'node:worker_threads';
import { StoreError } from '../../../store/errors.ts';
import { TraceReader } from '../../../store/read.ts';
import { tableOf } from '../../fold.ts';
import { type Answer, type Failure, type FarTrace, NearSide, type Request } from './side.ts';

const { path, last, withheld } = workerData as FarTrace;
let side: NearSide | undefined;
/** Opened when it is asked for the first time: what is wrong with the file is an answer. */
function opened(): NearSide {
  if (side === undefined) {
    const reader = TraceReader.open(path);
    const source = {
      last: Math.min(last, reader.last),
      scan: (from?: number, to = last) => reader.scan(from, Math.min(to, last)),
      seqs: reader.seqs.bind(reader),
    };
    side = new NearSide(source, tableOf(reader.meta), withheld === undefined ? {} : { withheld });
  }
  return side;
}

function failureOf(error: unknown): Failure {
  if (!(error instanceof StoreError)) return { message: error instanceof Error ? error.message : String(error) };
  const { code, message, hint } = error;
  return hint === undefined ? { code, message } : { code, message, hint };
}

parentPort!.on('message', (request: Request) => {
  let answer: Answer;
  const moved: ArrayBuffer[] = [];
  try {
    if ('digest' in request) {
      const value = opened().digestNow();
      moved.push(value.blocks.buffer as ArrayBuffer, value.sketches.buffer as ArrayBuffer, value.asks.buffer as ArrayBuffer);
      answer = { value };
    } else if ('details' in request) answer = { value: opened().detailsNow(request.details) };
    else if ('judge' in request) answer = { value: opened().judgeNow(request.other, request.judge) };
    else {
      const value = opened().recordsNow(request.records);
      moved.push(value.words.buffer as ArrayBuffer);
      answer = { value };
    }
  } catch (error) {
    answer = { failure: failureOf(error) };
  }
  parentPort!.postMessage(answer, moved);
});
