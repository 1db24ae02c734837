/** `reduce --on kernel`: each session on the way is issued on this machine. */
import { readSync } from 'node:fs';
import { release } from 'node:os';
import { isatty } from 'node:tty';
import { dialectForKernel } from '../../hw/uapi/table.ts';
import { Issuer, type MachineMeta } from '../../recorder/issue.ts';
import { type KernelOptions, KernelRunner } from '../../replayer/reduce/on-kernel.ts';
import { encodePlan, type Plan, PlanFlag } from '../../replayer/rerun/plan.ts';
import { IrrError } from '../../store/errors.ts';
import type { Options } from './commands.ts';
import { UsageError } from './errors.ts';
import { leftText, timeoutMs } from './kernel-words.ts';

const LIMIT_MS = 10_000;

/** A process hangs inside the kernel: what is asked after it says nothing. */
export class Stuck extends IrrError {
  constructor(said: string) {
    super('stuck', `a process of the last session hangs inside the kernel (${said}): no more are issued`);
  }
}

export class KernelOracle {
  readonly runner: KernelRunner;
  readonly #issuer: Issuer;
  readonly #words: string[];
  #mayTouchDevices: boolean;
  #asked = 0;
  #hung = 0;
  #ms = 0;
  #said = '';

  constructor(options: Options) {
    this.#mayTouchDevices = options.vfio === true;
    this.#words = options.mmio === true ? ['--mmio'] : [];
    const kernel: KernelOptions = {
      issue: (plan) => this.#issue(plan),
      dialect: dialectForKernel(release()),
      mmio: options.mmio === true,
      limitMs: timeoutMs('reduce', options.timeout) ?? LIMIT_MS,
    };
    this.runner = new KernelRunner(kernel);
    this.#issuer = new Issuer();
  }

  /** Of what was issued last; undefined before. */
  get machine(): MachineMeta | undefined {
    return this.#issuer.machine;
  }

  #issue(plan: Plan): readonly Buffer[] | undefined {
    const touches = (plan.flags & PlanFlag.VFIO) !== 0;
    if (touches && !this.#mayTouchDevices) {
      askForDevices();
      this.#mayTouchDevices = true;
    }
    const began = performance.now();
    const { ended, frames, said } = this.#issuer.issue(encodePlan(plan), touches ? [...this.#words, '--vfio'] : this.#words);
    this.#ms += performance.now() - began;
    this.#asked++;
    this.#said = said;
    if (ended === 'hung' || ended === 'stuck') this.#hung++;
    if (ended === 'stuck') throw new Stuck(said);
    return ended === 'done' ? frames : undefined;
  }

  /** Sessions a second. */
  get rate(): string {
    return ((this.#asked * 1000) / Math.max(1, this.#ms)).toFixed(this.#ms < 1000 * this.#asked ? 0 : 2);
  }

  get json(): object {
    return { release: release(), dialect: this.runner.dialect, asked: this.#asked, hung: this.#hung, seconds: this.#ms / 1000 };
  }

  /** What there is to say of it in the end, a line each. */
  *lines(): Generator<string> {
    const hung = this.#hung === 0 ? '' : `; ${this.#hung} did not return in time, which tells nothing`;
    yield `issued ${this.#asked} sessions on Linux ${release()}, ${this.rate} a second${hung}`;
    const left = leftText([...this.runner.left.values()]);
    if (left !== '') yield left;
  }

  /** Why nothing was found: how the whole session went. */
  get failure(): string {
    return `on Linux ${release()} the whole session does not show it${this.#said === '' ? '' : ` (${this.#said})`}`;
  }

  /** Leaves nothing behind. */
  done(): void {
    this.#issuer.done();
  }
}

/** Real hardware is touched only if somebody says so. */
function askForDevices(): void {
  if (!isatty(0) || !isatty(2)) throw new UsageError('reduce: the session touches VFIO devices, real hardware', '--vfio if it is meant to');
  process.stderr.write('\rThe session touches VFIO devices, real hardware. Go on? [y/N] ');
  const answer = Buffer.alloc(16);
  readSync(0, answer);
  if (!/^y/i.test(answer.toString('latin1'))) throw new UsageError('reduce: nothing was issued');
}
