/** `graph`: the objects as a picture. */
import { writeFileSync } from 'node:fs';
import { graphOf } from '../../replayer/graph.ts';
import { renderDot, renderMermaid, renderText } from '../../replayer/graph-text.ts';
import type { Run } from './commands.ts';
import { jsonText, writeError } from './output.ts';
import { seekTo } from './seek.ts';
import { countOf, openTrace } from './trace.ts';

export const run: Run = async ([path = ''], options, io) => {
  const opened = openTrace(path);
  const timeline = seekTo(opened, String(options.at ?? 'end'));
  const context = countOf('--context', options.context as string | undefined, 1);
  const graph = graphOf(timeline.state, context === undefined ? {} : { contexts: [context] });
  const renderers: Readonly<Record<string, () => string | Promise<string>>> = {
    text: () => renderText(graph, { ascii: options.ascii === true }),
    dot: () => renderDot(graph),
    mermaid: () => renderMermaid(graph),
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
