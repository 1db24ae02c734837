/** Ink's part: rectangles where the layout has them, each a block of finished rows. */
import { Box, Text, Transform } from 'ink';
import type { ReactElement } from 'react';
import type { Block } from './picture.ts';
import type { FrameProps } from './program.ts';

/**
 * A block stands at its place by margins. Its text is blanks of its size, which Ink measures once; what is shown comes in
 * while Ink writes, row by row, so neither layout nor measuring depends on the content.
 */
function BlockView({ block }: { readonly block: Block }): ReactElement {
  const blanks = Array.from({ length: block.height }, () => ' '.repeat(block.width)).join('\n');
  return (
    <Box position="absolute" marginLeft={block.x} marginTop={block.y} width={block.width} height={block.height}>
      <Transform transform={(_, row) => block.rows[row] ?? ''}>
        <Text>{blanks}</Text>
      </Transform>
    </Box>
  );
}

export function App({ columns, rows, blocks }: FrameProps): ReactElement {
  return (
    <Box width={columns} height={rows}>
      {blocks.map((block) => (
        <BlockView key={block.key} block={block} />
      ))}
    </Box>
  );
}
