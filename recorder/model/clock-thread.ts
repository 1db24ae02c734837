/** The thread of the clock. */
import { workerData } from 'node:worker_threads';
import { tick } from './clock.ts';

const { folder, memory } = workerData as { readonly folder: string; readonly memory: SharedArrayBuffer };
tick(folder, memory);
