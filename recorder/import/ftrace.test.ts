import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FTRACE } from './ftrace.ts';
import { frameOf, parse, sayAll, textOf, wordOf } from './testing.ts';

const A = '0xffff800080d95098';
const READ = `readl+0x20/0x84 width=32 addr=${A}`;
const POST = `readl+0x54/0x84 width=32 val=0x2a addr=${A}`;
/** one access of each, by the kernel's own text (include/trace/events/rwmmio.h) behind the head of each tool */
const HEADS: Readonly<Record<string, (time: string, event: string) => string>> = {
  trace: (time, event) => `            vfio-82      [001] d....     ${time}: ${event}`,
  'trace of an older kernel': (time, event) => `            vfio-82    [001] d..1 ${time}: ${event}`,
  'trace with TGID': (time, event) => `            vfio-82      (     80) [001] d....     ${time}: ${event}`,
  'trace with an unknown TGID': (time, event) => `            vfio-82      (-------) [001] d....     ${time}: ${event}`,
  'trace-cmd report': (time, event) => `            vfio-82    [001] ${time}: ${event.replace(':', ':         ')}`,
  'trace-cmd report -l': (time, event) => `            vfio-82    [001] d....  ${time}: ${event.replace(':', ':         ')}`,
  'perf script': (time, event) => `            vfio    82 [001] ${time}: rwmmio:${event}`,
};

const pair = (line: (time: string, event: string) => string): string =>
  `${[
    line('2.851425', `rwmmio_read: arm_smmu_cmdq_issue_cmdlist+0x4f0/0x5d0 -> ${READ}`),
    line('2.851534', `rwmmio_post_read: arm_smmu_cmdq_issue_cmdlist+0x4f0/0x5d0 -> ${POST}`),
  ].join('\n')}\n`;

describe('rwmmio', () => {
  test.each(Object.keys(HEADS))('%s: two events are one access', (name) => {
    const { events, foreign } = parse(FTRACE, pair(HEADS[name]!));
    expect(foreign).toEqual({});
    expect(sayAll(events)).toEqual([`2851425000 R 4 ${A} = 0x2a`]);
    expect(events[0]!.exit).toBe(2851534000n);
    const frame = frameOf(events[0]!);
    expect([frame.pid, frame.tid, textOf(frame, 1)]).toEqual([name === 'trace with TGID' ? 80 : 82, 82, 'vfio']);
    expect(textOf(frame, 0)).toBe('arm_smmu_cmdq_issue_cmdlist+0x4f0/0x5d0 -> readl+0x54/0x84');
  });

  const line = HEADS.trace!;
  const text = (...lines: string[]): string => `${lines.join('\n')}\n`;

  test('a kernel before 6.2 names one place; one without symbols gives its address, which is the instruction pointer', () => {
    const { events } = parse(
      FTRACE,
      text(
        line('1.000000', `rwmmio_write: writel+0x4/0x80 width=16 val=0x0 addr=${A}`),
        line('1.000001', `rwmmio_post_write: writel+0x48/0x80 width=16 val=0x0 addr=${A}`),
        line('1.000002', `rwmmio_write: 0xffff800080123456 -> 0xffff800080abcdef width=64 val=0xffffffffffffffff addr=${A}`),
      ),
    );
    expect(sayAll(events)).toEqual([`1000000000 W 2 ${A} = 0x0`, `1000002000 W 8 ${A} = 0xffffffffffffffff`]);
    expect(events.map((e) => wordOf(frameOf(e), 3))).toEqual([0n, 0xffff800080abcdefn]);
  });

  test('an interrupt in between; a load without its second half has no value, a second half alone is an access', () => {
    const other = '0xffff800080da0000';
    const { events } = parse(
      FTRACE,
      text(
        line('1.000000', `rwmmio_read: ${READ}`),
        line('1.000001', `rwmmio_read: readl+0x20/0x84 width=32 addr=${other}`),
        line('1.000002', `rwmmio_write: writel+0x4/0x80 width=32 val=0x1 addr=${other}`),
        line('1.000003', `rwmmio_post_write: writel+0x4/0x80 width=32 val=0x1 addr=${other}`),
        line('1.000004', `rwmmio_post_read: ${POST}`),
        line('1.000005', `rwmmio_post_read: ${POST}`),
      ),
    );
    expect(sayAll(events)).toEqual([
      `1000000000 R 4 ${A} = 0x2a`,
      `1000001000 R 4 ${other} = ?`,
      `1000002000 W 4 ${other} = 0x1`,
      `1000005000 R 4 ${A} = 0x2a`,
    ]);
  });

  test('threads on two processors at once, and one that moves', () => {
    const on = (task: string, cpu: number, time: string, event: string): string => `  ${task}  [00${cpu}] d....  ${time}: ${event}`;
    const { events } = parse(
      FTRACE,
      text(
        on('<idle>-0', 0, '1.000000', `rwmmio_read: ${READ}`),
        on('<idle>-0', 1, '1.000001', `rwmmio_read: ${READ}`),
        on('kworker/u8:1-events-7', 2, '1.000002', `rwmmio_read: ${READ}`),
        on('<idle>-0', 1, '1.000003', `rwmmio_post_read: ${POST.replace('0x2a', '0x1')}`),
        on('<idle>-0', 0, '1.000004', `rwmmio_post_read: ${POST.replace('0x2a', '0x0')}`),
        on('kworker/u8:1-events-7', 3, '1.000005', `rwmmio_post_read: ${POST}`),
      ),
    );
    expect(sayAll(events)).toEqual([`1000000000 R 4 ${A} = 0x0`, `1000001000 R 4 ${A} = 0x1`, `1000002000 R 4 ${A} = 0x2a`]);
    expect(textOf(frameOf(events[2]!), 1)).toBe('kworker/u8:1-events');
  });

  test('what is lost, what is a mark, what is foreign', () => {
    const { events, foreign, lost } = parse(
      FTRACE,
      text(
        '# tracer: nop',
        '#',
        '# entries-in-buffer/entries-written: 100/1000   #P:2',
        'cpus=2',
        'CPU:1 [LOST 13 EVENTS]',
        'CPU:1 [LOST EVENTS]',
        'CPU:0 [7 EVENTS DROPPED]',
        line('1.000000', 'tracing_mark_write: hello: world'),
        line('1.000001', 'sys_ioctl(fd: 3, cmd: 0x3b81, arg: 0x7ffef12a4a70)'),
        line('1.000002', 'map: IOMMU: iova=0x0000000040000000 - 0x00000000c0000000 paddr=0x0000000880000000 size=2147483648'),
        line('1.000003', `rwmmio_write: writel width=33 val=0x1 addr=${A}`),
        'what?',
      ),
    );
    expect(sayAll(events)).toEqual(['1000000000 note hello: world']);
    expect(lost.map((l) => l.events)).toEqual([900, 13, 0, 7]);
    expect(foreign).toEqual({ 'functions and calls': 1, map: 1, 'rwmmio_write, not understood': 1, 'not ftrace': 1 });
  });

  test('lines that the tools have printed of other events', () => {
    const { events, foreign } = parse(
      FTRACE,
      text(
        '               t-941     [001] .....  1985.780741: sys_ioctl(fd: 3, cmd: 0x3b81, arg: 0x7ffef12a4a70)',
        '               t-941     [001] .....  1985.780744: sys_ioctl -> 0xffffffffffffffe7',
        '               t   912 [000]  1984.429931: syscalls:sys_enter_ioctl: fd: 0x00000003, cmd: 0x00003b81, arg: 0x7fff897e5340',
        '               t   912 [000]  1984.429934:  syscalls:sys_exit_ioctl: 0xffffffffffffffe7',
      ),
    );
    expect(events).toEqual([]);
    expect(foreign).toEqual({ 'functions and calls': 2, sys_enter_ioctl: 1, sys_exit_ioctl: 1 });
  });

  test('nanoseconds of trace-cmd report -t', () => {
    const { events } = parse(FTRACE, `  x-1 [000] 12.000000001: rwmmio_write: w width=8 val=0xff addr=${A}\n`);
    expect([events[0]!.time, events[0]!.grain]).toEqual([12000000001n, 1n]);
  });

  test('a hostile log: never a throw, never slow', () => {
    const whole = pair(line);
    fc.assert(
      fc.property(fc.nat(whole.length), fc.uint8Array({ maxLength: 60 }), fc.nat(whole.length), (from, bytes, to) => {
        parse(FTRACE, Buffer.concat([Buffer.from(whole.slice(0, from)), bytes, Buffer.from(whole.slice(to))]));
      }),
    );
    const start = performance.now();
    for (const c of [' ', '-', '1', '[', '-1 [', ' 1 ', 'a-1  [0] ', '1.000000: '])
      parse(FTRACE, `${c.repeat(60_000 / c.length)}\n${c.repeat(200)}\n`);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});
