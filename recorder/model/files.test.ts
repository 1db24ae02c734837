import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, constants, existsSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Files } from './files.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'irr-files-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fifo(file: number): { readonly inode: bigint; readonly open: () => number } {
  const path = join(folder, `file-${file}`);
  execFileSync('mkfifo', [path]);
  return { inode: statSync(path, { bigint: true }).ino, open: () => openSync(path, constants.O_RDWR) };
}

test('a file ends when its last descriptor is closed', () => {
  const files = new Files(folder);
  const made = fifo(1);
  const fd = made.open();
  files.take(1);
  const gone: bigint[] = [];
  expect(files.ended(1, (inode) => gone.push(inode))).toBe(false);
  closeSync(fd);
  expect(files.ended(1, (inode) => gone.push(inode))).toBe(true);
  expect(files.ended(1, (inode) => gone.push(inode))).toBe(false);
  expect(gone).toEqual([made.inode]);
  files.close();
});

test('what hears of the end hears it before the inode can be of the next file', () => {
  const files = new Files(folder);
  const made = fifo(2);
  const fd = made.open();
  files.take(2);
  closeSync(fd);
  let next = 0n;
  files.ended(2, () => {
    next = fifo(3).inode;
  });
  expect(next).not.toBe(0n);
  expect(next).not.toBe(made.inode);
  files.close();
});

const cli = join(resolve(import.meta.dirname, '../..'), 'dist/bin/iommufd-rr.js');
const PROGRAM = `
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A file that a refused call would have brought is no more; so many would not have room beside each other. */
int main(void)
{
	int fd = open("/dev/iommu", O_RDWR);

	for (int i = 0; i < 9000; i++) {
		unsigned int fault_alloc[4] = { sizeof(fault_alloc), 1 };

		if (ioctl(fd, _IO(';', 0x8e), fault_alloc) != -1 || errno != EOPNOTSUPP)
			return printf("#%d: errno %d\\n", i, errno), 1;
	}
	close(fd);
	for (int i = 0; i < 300; i++) {
		unsigned int ioas_alloc[3] = { sizeof(ioas_alloc) };

		fd = open("/dev/iommu", O_RDWR);
		if (ioctl(fd, _IO(';', 0x81), ioas_alloc))
			return printf("open %d: errno %d\\n", i, errno), 1;
		close(fd);
	}
	return 0;
}
`;

test.skipIf(!existsSync(cli) || spawnSync('gcc', ['--version']).status !== 0)(
  'many files, one after another',
  () => {
    const [source, program] = [join(folder, 'many.c'), join(folder, 'many')];
    writeFileSync(source, PROGRAM);
    expect(spawnSync('gcc', ['-Wall', '-o', program, source], { encoding: 'utf8' }).stderr).toBe('');
    const args = ['record', '--on', 'model', '--spool', folder, '-o', join(folder, 'many.irr'), '--', program];
    const done = spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', timeout: 60_000 });
    expect(done.stdout).toBe('');
    expect(done.status).toBe(0);
  },
  60_000,
);
