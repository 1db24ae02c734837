/** Symbols as variables of a C program. */
import type { ProgramSymbol } from '../program/program.ts';
import { plain } from './c-numbers.ts';

const TYPES: Readonly<Record<ProgramSymbol['sort'], string>> = {
  object: '__u32 ',
  fd: 'int ',
  memory: 'char *',
  mapping: 'char *',
  iova: '__u64 ',
  offset: '__u64 ',
  length: '__u64 ',
  process: 'pid_t ',
  cookie: '__u32 ',
  item: '__u32 ',
  nothing: '__u32 ',
};

export function declaration(s: ProgramSymbol, initialised: boolean): string {
  const plainly = `${TYPES[s.sort]}${s.name}`;
  if (!initialised) return plainly;
  if (s.sort === 'fd') return `${plainly} = -1`;
  if (s.step < 0 && s.sort !== 'memory' && s.sort !== 'mapping' && s.sort !== 'process')
    return `${plainly} = ${plain(BigInt.asUintN(64, s.recorded), s.sort !== 'object')} /* there before the recording */`;
  return plainly;
}
