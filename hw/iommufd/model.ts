/**
 * The kernel as a model: answers calls from its state, changes it when an answer is committed. The rules lie beside it, by
 * what they are about; this file finds the rule of a call and does what every call has in common.
 */

import type { DialectName } from '../uapi/table.ts';
import { type UapiTable, uapiTable } from '../uapi/table.ts';
import type { Answer, Observed, Request } from './call.ts';
import type { FileKind, Kernel, OpenFile } from './state.ts';
import { type Traits, traitsOf } from './traits.ts';

export class Model {
  readonly table: UapiTable;
  readonly traits: Traits;
  readonly kernel: Kernel = { files: new Map(), contexts: new Map(), mockDevices: 0, memoryLimit: 65536, vmas: [] };

  constructor(dialect: DialectName) {
    this.table = uapiTable(dialect);
    this.traits = traitsOf(dialect);
  }

  /** A file was opened, or is found open: an iommufd and a container bring a context with them. */
  open(_file: number, _kind: FileKind): OpenFile {
    throw new Error('not written yet');
  }

  /** The last descriptor of a file is closed. */
  close(_file: number): void {
    throw new Error('not written yet');
  }

  /**
   * What the kernel answers to an ioctl of type ';'. Changes nothing. `observed`: run along a known answer (Call.refuse);
   * the answer then has its ids and addresses, and commit brings the state to where the recorded kernel is.
   */
  decide(_request: Request, _observed?: Observed): Answer {
    throw new Error('not written yet');
  }
}
