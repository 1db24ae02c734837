/** IOMMU_OPTION: accounting of the context, large pages of an IOAS. drivers/iommu/iommufd/main.c and ioas.c. */
import { PAGE } from './areas.ts';
import type { Call, Rule } from './call.ts';
import { misaligned, reserved } from './ioas.ts';
import { object } from './objects.ts';
import { RIGHTS } from './reasons.ts';
import type { Ioas } from './state.ts';
import { hex, nameOf } from './words.ts';

const RLIMIT_MODE = 0;
const HUGE_PAGES = 1;
const SET = 0;
const GET = 1;

const option: Rule = (c) => {
  if (reserved(c, '__reserved', 'u16')) return;
  c.stayUnanswered();
  const id = c.u32('option_id');
  if (id === RLIMIT_MODE) rlimitMode(c);
  else if (id === HUGE_PAGES) hugePages(c);
  else c.refuse('EOPNOTSUPP', 'option.id', { field: 'option_id', text: `there is no option ${id}`, wanted: 'RLIMIT_MODE or HUGE_PAGES' });
};

function rlimitMode(c: Call): void {
  const { context } = c;
  if (
    c.u32('object_id') !== 0 &&
    c.refuse('EOPNOTSUPP', 'option.object', { field: 'object_id', text: 'RLIMIT_MODE is of the whole context', wanted: '0' })
  )
    return;
  const op = c.u16('op');
  if (op === GET) {
    c.set('val64', context.rlimitMode);
    return;
  }
  if (op !== SET) {
    unknownOp(c, op);
    return;
  }
  if (c.mayRefuse('EPERM', RIGHTS, 'option.rights')) return;
  const value = c.u64('val64');
  if (
    context.objects.size + context.tombstones.size > 0 &&
    c.refuse('EBUSY', 'option.rlimit-late', {
      field: 'option_id',
      text: 'the context has objects already',
      wanted: 'before the first object',
      because: [...context.objects.values()],
    })
  )
    return;
  if (value > 1n && c.refuse('EINVAL', 'option.value', { field: 'val64', text: `${value} is no mode`, wanted: '0 or 1' })) return;
  c.then(() => {
    context.rlimitMode = value === 0n ? 0 : 1;
  });
}

function unknownOp(c: Call, op: number): void {
  c.refuse('EOPNOTSUPP', 'option.op', { field: 'op', text: `there is no operation ${op}`, wanted: 'SET or GET' });
}

function hugePages(c: Call): void {
  const ioas = object(c, 'object_id', 'IOAS');
  if (ioas === undefined) return;
  const op = c.u16('op');
  if (op === GET) {
    c.set('val64', ioas.largePages ? 1 : 0);
    return;
  }
  if (op !== SET) {
    unknownOp(c, op);
    return;
  }
  const value = c.u64('val64');
  if (value > 1n && c.refuse('EINVAL', 'option.value', { field: 'val64', text: `${value} is neither on nor off`, wanted: '0 or 1' }))
    return;
  setLargePages(c, ioas, value === 1n);
}

/** Turns large pages on or off. drivers/iommu/iommufd/io_pagetable.c, iopt_disable_large_pages() */
export function setLargePages(c: Call, ioas: Ioas, on: boolean): void {
  if (!on && ioas.largePages) {
    if (
      ioas.hwpts.length > 0 &&
      ioas.areas.length > 0 &&
      c.refuse('EINVAL', 'option.large-pages-used', {
        field: 'val64',
        text: `${nameOf(ioas)} has HWPTs and mappings already`,
        because: [ioas, ...ioas.hwpts],
      })
    )
      return;
    const area = misaligned(ioas, PAGE);
    if (
      area &&
      c.refuse('EADDRINUSE', 'option.large-pages-area', {
        field: 'val64',
        text: `${hex(area.start)} to ${hex(area.last)} is not aligned to pages`,
        because: [ioas],
      })
    )
      return;
  }
  c.then(() => {
    ioas.largePages = on;
  });
}

export const rules: Readonly<Record<string, Rule>> = { IOMMU_OPTION: option };
