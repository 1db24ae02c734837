/**
 * The table against the C headers of this system, by the compiler. UAPI_HEADERS may name another include directory (that of
 * an unpacked linux-libc-dev, for one). Where there is no gcc or no header the test says so and skips.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { headerAsserts, releaseOf } from './emit-asserts.ts';
import { uapiTable } from './table.ts';

const include = process.env.UAPI_HEADERS ?? '/usr/include';
const gcc = spawnSync('gcc', ['--version'], { stdio: 'ignore' }).status === 0;

function compile(source: string): { status: number | null; stderr: string } {
  const dirs = ['-I', include, '-I', `${include}/x86_64-linux-gnu`, '-I', `${include}/aarch64-linux-gnu`];
  const { status, stderr } = spawnSync('gcc', ['-std=gnu11', '-fsyntax-only', ...dirs, '-x', 'c', '-'], {
    input: source,
    encoding: 'utf8',
  });
  return { status, stderr };
}

/** Asserts that the header's release does not rule out. */
function held(source: string): number {
  const text = execFileSync('gcc', ['-E', '-P', '-I', include, '-x', 'c', '-'], { input: source, encoding: 'utf8', maxBuffer: 1 << 26 });
  return text.split('_Static_assert(').length - 1;
}

for (const header of ['iommufd.h', 'vfio.h'] as const) {
  const path = `${include}/linux/${header}`;
  const why = !gcc ? 'no gcc' : !existsSync(path) ? `no ${path}` : undefined;
  test.skipIf(why !== undefined)(
    `rows of <linux/${header}> are what the compiler sees${why === undefined ? '' : ` (skipped: ${why})`}`,
    () => {
      const source = headerAsserts(uapiTable('linux-7.2'), header);
      const { status, stderr } = compile(source);
      expect(stderr).toBe('');
      expect(status).toBe(0);
      expect(held(source)).toBeGreaterThan(200);
    },
  );

  test.skipIf(why !== undefined)(`a wrong row of <linux/${header}> would not pass`, () => {
    const source = headerAsserts(uapiTable('linux-7.2'), header);
    const name = header === 'iommufd.h' ? 'size of iommu_ioas_map.iova' : 'size of vfio_device_info.flags';
    const wrong = source.replace(new RegExp(`== \\d+(, "${name.replaceAll('.', '\\.')}")`), '== 3$1');
    expect(wrong).not.toBe(source);
    expect(compile(wrong).stderr).toContain(name);
  });
}

/** ioctls of these headers that are not about iommufd, type 1 or devices; and one that is younger than linux-7.2. */
const NOT_OURS = [
  'IOMMU_IOAS_NOIOMMU_GET_PA', // 7.3
  'VFIO_MIG_GET_PRECOPY_INFO', // on a migration stream's own file
  'VFIO_EEH_PE_OP',
  'VFIO_IOMMU_SPAPR_TCE_GET_INFO',
  'VFIO_IOMMU_SPAPR_REGISTER_MEMORY',
  'VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY',
  'VFIO_IOMMU_SPAPR_TCE_CREATE',
  'VFIO_IOMMU_SPAPR_TCE_REMOVE',
];

test('every ioctl of the headers has a row', () => {
  let seen = 0;
  for (const header of ['iommufd.h', 'vfio.h']) {
    const path = `${include}/linux/${header}`;
    if (!existsSync(path)) continue;
    for (const [, name = ''] of readFileSync(path, 'utf8').matchAll(/^#define\s+((?:IOMMU|VFIO)_\w+)\s+_IO\(/gm)) {
      seen++;
      if (!NOT_OURS.includes(name)) expect(uapiTable('linux-7.2').byName(name), name).toBeDefined();
    }
  }
  expect(seen === 0 || seen > 25).toBe(true);
});

test('the release a row needs is the last that it names', () => {
  expect(releaseOf('6.17 or 6.18 (unverified)')).toEqual([6, 18]);
  expect(releaseOf('6.15 (also stable backports)')).toEqual([6, 15]);
  expect(releaseOf('vcmdq-v1')).toEqual([0, 0]);
});
