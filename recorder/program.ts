/** What is run: the program's file, whether the shim can be loaded into it, and the descriptors that it is given. */
import { spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync, openSync, readdirSync, readlinkSync, readSync, statSync } from 'node:fs';
import { arch } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { IrrError } from '../store/errors.ts';

export const SHIM = 'libiommufd-rr.so';

/** Of the folders dist/recorder, dist/bin and (sources) recorder, the one with the shim. */
const SHIM_FOLDERS = ['shim', '../recorder/shim', '../dist/recorder/shim'];

/** The shim beside the built program, or in the build folder of a checkout. Throws where it was not built. */
export function shimPath(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const path = SHIM_FOLDERS.map((folder) => join(here, folder, SHIM)).find((found) => existsSync(found));
  if (path !== undefined) return path;
  throw new IrrError('no-shim', `the capture library ${SHIM} was not built`, { hint: 'run npm run build (it needs a C compiler)' });
}

/** What `record --mmio` decodes x86-64 instructions with: a library of ours that stands on Zydis. */
export const DECODER = 'libiommufd-rr-decode.so';

/** Throws where loads and stores cannot be recorded here: the decoder was not built, or its library is gone. */
export function checkDecoder(shim: string): void {
  if (arch() !== 'x64') return;
  const path = join(dirname(shim), DECODER);
  if (!existsSync(path))
    throw new IrrError('no-decoder', 'record --mmio needs the instruction decoder Zydis, which was not there when this was built', {
      hint: 'apt install libzydis-dev, then npm run build',
    });
  // the loader says it in words where it cannot load the library, and goes on without it
  const said = spawnSync('/bin/true', { env: { LD_PRELOAD: path }, encoding: 'utf8' }).stderr;
  if (said !== '')
    throw new IrrError('no-decoder', `record --mmio cannot load ${path}`, { hint: 'apt install libzydis4.0, or npm run build again' });
}

/**
 * Descriptors from 3 up that the recorder was given, and that are the program's: `-object iommufd,fd=20` of a VMM. Node's own
 * are told apart by what they are: epolls, eventfds, io_urings, and pipes that have both ends here.
 */
export function givenDescriptors(): number[] {
  const links = new Map<number, string>();
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      if (Number(name) > 2) links.set(Number(name), readlinkSync(`/proc/self/fd/${name}`));
    } catch {
      // the folder's own descriptor is closed by now
    }
  }
  const targets = [...links.values()];
  return [...links]
    .filter(([, link]) => !/^anon_inode:\[(eventpoll|eventfd|io_uring)\]$/.test(link))
    .filter(([, link]) => !link.startsWith('pipe:') || targets.filter((other) => other === link).length < 2)
    .map(([fd]) => fd);
}

/** Where a program's file is, as execvp(3) finds it. Throws an IrrError where there is none. */
export function findProgram(name: string): string {
  const places = name.includes('/') ? [name] : (process.env.PATH ?? '/usr/bin:/bin').split(delimiter).map((d) => join(d || '.', name));
  let denied: string | undefined;
  for (const path of places) {
    const st = statSync(path, { throwIfNoEntry: false });
    if (!st) continue;
    try {
      if (!st.isFile()) throw new Error();
      accessSync(path, constants.X_OK);
      return resolve(path);
    } catch {
      denied ??= path;
    }
  }
  if (denied !== undefined)
    throw new IrrError('cannot-execute', `${denied}: not a program that may be executed`, { hint: 'check its permissions (chmod +x)' });
  throw new IrrError('not-found', `${name}: no such program`, { hint: name.includes('/') ? 'check the path' : 'it is not in PATH' });
}

/** Does the dynamic loader run for this file? Scripts count by their interpreter. */
export function checkDynamic(path: string, depth = 0): void {
  const head = Buffer.alloc(4096);
  const fd = openSync(path, 'r');
  let n: number;
  try {
    n = readSync(fd, head, 0, head.length, 0);
  } finally {
    closeSync(fd);
  }
  if (head.toString('latin1', 0, 2) === '#!') {
    const interpreter =
      head
        .toString('utf8', 2, Math.max(2, head.indexOf(10)))
        .trim()
        .split(/\s+/)[0] ?? '';
    if (depth < 4 && existsSync(interpreter)) checkDynamic(interpreter, depth + 1);
    return;
  }
  if (n < 64 || head.readUInt32BE(0) !== 0x7f454c46) return; // the kernel will say what it is
  if (head[4] !== 2 || head[5] !== 1)
    throw new IrrError('static', `${path}: not a 64-bit little-endian program`, { hint: 'only those can be recorded' });
  const at = Number(head.readBigUInt64LE(32));
  const size = head.readUInt16LE(54);
  const count = head.readUInt16LE(56);
  for (let i = 0; i < count && at + (i + 1) * size <= n; i++) if (head.readUInt32LE(at + i * size) === 3) return;
  throw new IrrError('static', `${path}: statically linked, so the capture library cannot be loaded into it`, {
    hint: 'link it dynamically, or record a dynamic program that starts it',
  });
}
