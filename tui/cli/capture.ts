/** Runs a command of the table inside a test: what it prints, without a process. */
import { commandRow, type Options } from './commands.ts';
import { Out, type Sink } from './output.ts';

class MemorySink implements Sink {
  text = '';
  write(text: string): void {
    this.text += text;
  }
  async drain(): Promise<void> {}
  async end(): Promise<void> {}
}

export interface Captured {
  readonly status: number;
  readonly out: string;
  readonly notes: readonly string[];
}

/** `options` by camelCase name, as the command line would give them. */
export async function capture(command: string, args: readonly string[], options: Options = {}, color = false): Promise<Captured> {
  const sink = new MemorySink();
  const notes: string[] = [];
  const { run } = await commandRow(command)!.load();
  const status = await run(args, options, { out: () => new Out(sink, { color }), note: (text) => notes.push(text) });
  return { status, out: sink.text, notes };
}
