/**
 * Ink's part: where each block stands. Every row of a block is one character that stands for it; the row itself is put in its
 * place afterwards (frame.ts). Ink would take rows apart into one object for each character, tens of milliseconds of a wide screen.
 */
import { Box, render, Text } from 'ink';
import type { ReactElement } from 'react';
import { type Placed, standIn } from './frame.ts';

export interface AppProps {
  readonly columns: number;
  readonly rows: number;
  readonly blocks: readonly Placed[];
}

export function App({ columns, rows, blocks }: AppProps): ReactElement {
  return (
    <Box width={columns} height={rows}>
      {blocks.map(({ key, x, y, width, height }, i) => (
        <Box key={key} position="absolute" marginLeft={x} marginTop={y} width={width} height={height}>
          <Text>{Array.from({ length: height }, () => standIn(i)).join('\n')}</Text>
        </Box>
      ))}
    </Box>
  );
}

/** Ink at work, on a canvas instead of a terminal: it has what `write` was given last. */
export interface InkLayout {
  layOut(props: AppProps): void;
  unmount(): void;
}

export function mountInk(canvas: NodeJS.WriteStream, stdin: NodeJS.ReadStream, props: AppProps): InkLayout {
  // debug: every frame whole and at once, before Ink's own terminal logic, which also keeps silent under CI
  const ink = render(<App {...props} />, { stdout: canvas, stdin, debug: true, exitOnCtrlC: false, patchConsole: false });
  return { layOut: (next) => ink.rerender(<App {...next} />), unmount: () => ink.unmount() };
}
