/** The thread of the model: it answers until it is told to stop. */
import { parentPort, workerData } from 'node:worker_threads';
import type { MachineName } from '../../hw/iommufd/machine.ts';
import type { DialectName } from '../../hw/uapi/table.ts';
import { Clock } from './clock.ts';
import { ModelServer } from './server.ts';

const { folder, dialect, machine, clock } = workerData as {
  readonly folder: string;
  readonly dialect: DialectName;
  readonly machine: MachineName;
  readonly clock: SharedArrayBuffer | undefined;
};

// what is thrown here is seldom looked at, and often thrown: a FIFO without bytes
const say = (error: unknown): void =>
  parentPort?.postMessage({ fault: error instanceof Error ? (error.stack ?? error.message) : String(error) });
const server = new ModelServer({ folder, dialect, machine, clock: clock && new Clock(clock), report: say });
parentPort?.postMessage({ ready: true });
server.run();
