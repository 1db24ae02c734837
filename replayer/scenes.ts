/** Hand-made sessions that tests share, and short ways to look at their state. */
import { type DialectName, uapiTable } from '../hw/uapi/table.ts';
import { Start } from '../store/frame.ts';
import { stateJson } from './digest.ts';
import { foldInto } from './fold.ts';
import { brokenInvariants } from './invariants.ts';
import { longs, Script, words } from './script.ts';
import { emptyState, type SessionState } from './state.ts';
import { Timeline } from './timeline.ts';
import { changesText, namesFor } from './words.ts';

/** IOMMU_VIOMMU_TYPE_SELFTEST, IOMMU_HW_QUEUE_TYPE_SELFTEST */
export const SELFTEST_TYPE = 0xdead_beef;
/** IOMMU_VEVENTQ_TYPE_SELFTEST */
export const VEVENT_TYPE = 0xbeef_beef;

/** The state after a session. Throws where it does not hang together. */
export function folded(script: Script): SessionState {
  const state = foldInto(emptyState(), script.source(), script.table);
  const broken = brokenInvariants(state);
  if (broken.length > 0) throw new Error(broken.map((f) => f.text).join('; '));
  return state;
}

/** What the last event did, in words. */
export function lastWords(script: Script): string[] {
  const timeline = new Timeline(script.source(), { table: script.table });
  timeline.seek(script.seq - 1);
  const changes = timeline.step();
  return changesText(changes, namesFor(timeline.state, changes));
}

// biome-ignore lint/suspicious/noExplicitAny: JSON of a state, looked at by tests
export type Loose = any;
export const json = (script: Script): Loose => stateJson(folded(script));
export const objects = (script: Script, context = 0): Loose[] => json(script).contexts[context].objects;
export const object = (script: Script, id: number): Loose => objects(script).find((o) => o.id === id);
export const users = (script: Script, id: number): number => object(script, id).users;

/** A process with an iommufd at fd 3. */
export function session(dialect: DialectName = 'linux-7.2'): Script {
  const s = new Script(uapiTable(dialect));
  s.start(Start.EXEC);
  s.open(3);
  return s;
}

/** The fixed ids of the kernel's iommufd_viommu fixture: IOAS 1, SELFTEST 2, DEVICE 3, auto HWPT 4, parent 5, VIOMMU 6, nested 7. */
export function viommuSession(): Script {
  const s = session();
  s.ioctl(3, 'IOMMU_IOAS_ALLOC', {}, { out_ioas_id: 1 });
  s.test(3, 'MOCK_DOMAIN', 1, {}, { out_stdev_id: 2, out_idev_id: 3, out_hwpt_id: 4 });
  s.ioctl(3, 'IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 3, pt_id: 1 }, { out_hwpt_id: 5 });
  const viommu = { type: SELFTEST_TYPE, dev_id: 3, hwpt_id: 5, data_len: 24, data_uptr: 0x7000 };
  const data = Buffer.concat([words(1, 1), longs(0x1000, 0x2000)]);
  s.ioctl(3, 'IOMMU_VIOMMU_ALLOC', viommu, { out_viommu_id: 6 }, { nestedIn: { data_uptr: data }, nestedOut: { data_uptr: data } });
  const nested = { dev_id: 3, pt_id: 6, data_type: 0xdead, data_len: 4, data_uptr: 0x7000 };
  s.ioctl(3, 'IOMMU_HWPT_ALLOC', nested, { out_hwpt_id: 7 }, { nestedIn: { data_uptr: words(0xdeadbeef) } });
  return s;
}
