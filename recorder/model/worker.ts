/** The thread of the model: it answers until it is told to stop. */
import { parentPort, workerData } from 'node:worker_threads';
import type { DialectName } from '../../hw/uapi/table.ts';
import { ModelServer } from './server.ts';

const { folder, dialect } = workerData as { readonly folder: string; readonly dialect: DialectName };

// what is thrown here is seldom looked at, and often thrown: a FIFO without bytes
const say = (error: unknown): void =>
  parentPort?.postMessage({ fault: error instanceof Error ? (error.stack ?? error.message) : String(error) });
const server = new ModelServer({ folder, dialect, report: say });
parentPort?.postMessage({ ready: true });
server.run();
