/** What a log says of the machine that it was recorded on. */
import { type MachineName, machineNamed } from '../hw/iommufd/machine.ts';
import type { TraceMeta } from '../store/meta.ts';

/** The machine of the model that a log was recorded on; undefined: a real one. */
export const machineOf = (meta: TraceMeta): MachineName | undefined =>
  meta.source === 'model' ? (machineNamed(meta.modelMachine) ?? 'plain') : undefined;
