import { existsSync } from 'node:fs';
import { basename } from 'node:path';

/** A name here for a trace of something: vmm.irr, or vmm.2.irr where that exists. Nothing is ever replaced. */
export function freeName(of: string): string {
  const stem = basename(of).replace(/[^\w.+-]/g, '_') || 'trace';
  let name = `${stem}.irr`;
  for (let n = 2; existsSync(name); n++) name = `${stem}.${n}.irr`;
  return name;
}
