/**
 * Ink's part: where each block stands. Every row of a block is one character that stands for it; the row itself is put in its
 * place afterwards (frame.ts). Ink would take rows apart into one object for each character, tens of milliseconds of a wide screen.
 */
import { Box, Text } from 'ink';
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
