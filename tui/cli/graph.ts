/** `graph`: the objects as a picture. */
import { writeFileSync } from 'node:fs';
import { jsonText } from '../../hw/json-text.ts';
import { type Graph, graphOf } from '../../replayer/graph.ts';
import { renderDot, renderMermaid, renderText } from '../../replayer/graph-text.ts';
import { IrrError } from '../../store/errors.ts';
import type { Run } from './commands.ts';
import { writeError } from './output.ts';
import { seekTo } from './seek.ts';
import { countOf, openTrace } from './trace.ts';

export const run: Run = async ([path = ''], options, io) => {
  const opened = openTrace(path);
  const timeline = seekTo(opened, String(options.at ?? 'end'));
  const context = countOf('--context', options.context as string | undefined, 1);
  const graph = graphOf(timeline.state, { table: timeline.table, ...(context === undefined ? {} : { contexts: [context] }) });
  const renderers: Readonly<Record<string, () => string | Promise<string>>> = {
    text: () => renderText(graph, { ascii: options.ascii === true }),
    dot: () => renderDot(graph),
    mermaid: () => renderMermaid(graph),
    svg: () => pictureOf(graph),
    json: () => jsonText({ v: 1, ...graph }),
  };
  const text = await renderers[options.json === true ? 'json' : String(options.format ?? 'text')]!();
  opened.reader.close();
  if (typeof options.output === 'string' && options.output !== '-') {
    try {
      writeFileSync(options.output, text.endsWith('\n') ? text : `${text}\n`);
    } catch (error) {
      throw writeError(error, options.output);
    }
  } else io.out().text(text);
  return 0;
};

/** SVG is laid out, which has its limit, and loads a library that no other format needs. */
async function pictureOf(graph: Graph): Promise<string> {
  const { GraphTooLarge, renderSvg } = await import('../../replayer/graph-svg.ts');
  try {
    return renderSvg(graph);
  } catch (error) {
    if (error instanceof GraphTooLarge)
      throw new IrrError('too-large', error.message, { hint: '--context N draws one context; --format dot leaves the layout to Graphviz' });
    throw error;
  }
}
