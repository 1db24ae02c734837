/** The array of HWPT_INVALIDATE. */
import type { Call } from './call.ts';
import { MEMORY, UNSEEN } from './reasons.ts';

/** Entry i of the array of an INVALIDATE; undefined where the call was refused. */
export function invalidation(c: Call, i: number, size: number, min: number, known: number): DataView | undefined {
  if (size < min) {
    c.refuse('EINVAL', 'invalidate.entry-len', { field: 'entry_len', text: `entry_len ${size} is below ${min}` });
    return undefined;
  }
  const memory = c.nested('data_uptr');
  const bytes = memory?.bytes.subarray(i * size, (i + 1) * size);
  if (bytes === undefined || size === 0 || bytes.length < size) {
    if (memory?.fault === true) c.refuse('EFAULT', 'invalidate.array', { field: 'data_uptr', text: `entry ${i} cannot be read` });
    else c.mayRefuse('EFAULT', MEMORY, 'invalidate.array');
    // what the log has of the array ends here
    if (!c.refused) c.undetermined('entry_num', UNSEEN);
    return undefined;
  }
  if (
    bytes.subarray(known).some((b) => b !== 0) &&
    c.refuse('E2BIG', 'invalidate.entry-tail', { field: 'data_uptr', text: `entry ${i} has bits beyond byte ${known}` })
  )
    return undefined;
  const whole = new Uint8Array(known);
  whole.set(bytes.subarray(0, known));
  return new DataView(whole.buffer);
}
