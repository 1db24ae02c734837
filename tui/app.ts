/** The screens: opens a trace, takes the terminal, and runs until the user quits. */
import { existsSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { IrrError, StoreError } from '../store/errors.ts';
import { PARTIAL } from '../store/open.ts';
import { pointOf } from './cli/trace.ts';
import { Controller } from './controller.ts';
import { GrowingView } from './growing-view.ts';
import { TraceModel } from './model.ts';
import { Program } from './program.ts';
import { Screen } from './term/screen.ts';
import { clean } from './term/text.ts';
import { type ColorChoice, makeTheme, wantsAscii, wantsColour } from './term/theme.ts';

export interface TuiOptions {
  /** default auto: colours unless NO_COLOR is set */
  readonly color?: ColorChoice;
  /** ASCII characters only; default: as the locale says */
  readonly ascii?: boolean;
  /** a second trace: both are shown beside each other */
  readonly b?: string | undefined;
  /** line by line: nothing is drawn, so no terminal is needed */
  readonly plain?: boolean;
  /** the point to begin at, as `--at` takes it; of two traces an event of the first; default the first event, of two their first difference */
  readonly at?: string;
  /** default true: wheel and clicks */
  readonly mouse?: boolean;
  /** the recording goes on: begin at its end and show what comes */
  readonly follow?: boolean;
}

/**
 * To fold millions of events makes much garbage, and V8 would rather let its heap grow than look for it: told to care for
 * size, it holds some 100 MB where it would hold 170 and more.
 */
function staySmall(): void {
  setFlagsFromString('--optimize-for-size');
  setFlagsFromString('--max-semi-space-size=8');
}

/** Why the screens cannot be shown here; undefined where they can. */
function refusal(env: NodeJS.ProcessEnv): string | undefined {
  if (process.stdin.isTTY !== true || process.stdout.isTTY !== true) return 'the screens need a terminal';
  const term = env.TERM ?? '';
  return term === '' || term === 'dumb' ? `a terminal with TERM=${clean(term)} cannot show the screens` : undefined;
}

/** A trace that was opened and cannot be read any more: says so, whatever is found in it now. */
function readSoFar(error: unknown): never {
  if (!(error instanceof StoreError)) throw error;
  throw new IrrError(error.code, error.message, {
    hint: 'it could be read when it was opened: it was changed since, or the disk fails',
    cause: error,
  });
}

/**
 * Shows a trace until the user quits. → exit status; 2, after one line on standard error, where there is no terminal for
 * it. Throws an IrrError where the trace cannot be read.
 */
export async function runTui(path: string, options: TuiOptions = {}): Promise<number> {
  const { stdin, stdout, env } = process;
  if (options.plain === true) return await plainly(path, options);
  const refused = refusal(env);
  if (refused !== undefined) {
    process.stderr.write(
      `iommufd-rr: ${refused}; iommufd-rr tui --plain ${clean(path)} goes line by line, iommufd-rr show ${clean(path)} prints the events instead\n`,
    );
    return 2;
  }
  const { b } = options;
  // a recording that is to replace a file is made beside it
  const live = options.follow === true && existsSync(path + PARTIAL) ? path + PARTIAL : path;
  const model = TraceModel.open(live, { wholeCalls: b !== undefined });
  let other: TraceModel | undefined;
  try {
    other = b === undefined ? undefined : TraceModel.open(b, { wholeCalls: true });
    const theme = makeTheme(wantsColour(options.color ?? 'auto', env), wantsAscii(options.ascii, env));
    // an empty trace has no points, but a screen that says so
    const at = options.at === undefined || model.last === 0 ? undefined : pointOf(options.at, model.reader);
    const screen = new Screen(stdout);
    const right = other;
    // what one trace does not need is not loaded for it
    const diff = right === undefined ? undefined : await import('./diff/controller.ts');
    const program = new Program({
      answering: (columns, rows, hooks) =>
        right === undefined || diff === undefined
          ? new Controller(model, theme, columns, rows, hooks)
          : new diff.DiffController({ a: model, b: right }, theme, columns, rows, hooks),
      screen,
      stdin,
      stdout,
      test: env.IRR_TEST === '1',
      mouse: options.mouse ?? true,
      follow: options.follow ?? false,
      mount: (settled) => new GrowingView(screen, stdin, settled),
    });
    const running = program.run(at);
    // the first picture is there by now
    setImmediate(staySmall);
    return await running.catch(readSoFar);
  } finally {
    model.close();
    other?.close();
  }
}

/** The linear mode: commands are lines, and so are the answers. */
async function plainly(path: string, { b, at, ascii }: TuiOptions): Promise<number> {
  const { stdin, stdout, env } = process;
  const theme = makeTheme(false, wantsAscii(ascii, env));
  const { runPlain, diffReader, traceReader } = await import('./plain.ts');
  const model = TraceModel.open(path, { wholeCalls: b !== undefined });
  let other: TraceModel | undefined;
  try {
    const from = at === undefined || model.last === 0 ? undefined : pointOf(at, model.reader);
    if (b === undefined) {
      return await runPlain(traceReader(model, theme, from), { stdin, stdout, theme });
    }
    other = TraceModel.open(b, { wholeCalls: true });
    const { DiffController } = await import('./diff/controller.ts');
    return await runPlain(diffReader({ a: model, b: other }, theme, DiffController, from), { stdin, stdout, theme });
  } finally {
    model.close();
    other?.close();
  }
}
