import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'vitest';
import { runScenario } from './script.ts';
import { effectText, eventText } from './text.ts';
const dir = new URL('../../fixtures/scenarios/', import.meta.url);
test('x', () => {
  for (const f of readdirSync(dir)) {
    if (process.env.ONLY && !f.startsWith(process.env.ONLY)) continue;
    try {
      const s = runScenario(readFileSync(new URL(f, dir), 'utf8'), (process.env.DIALECT ?? 'linux-7.2') as 'linux-7.2');
      console.log(f, s.log.length, [...s.cmdqv.vintfs.keys()]);
      if (process.env.ONLY) console.log(s.log.map((h) => [...h.effects.map(effectText).filter((t) => t !== undefined).map((t) => `        ${t}`), eventText(h.event)].join('\n')).join('\n'));
    } catch (e) { console.log(f, e); }
  }
});
