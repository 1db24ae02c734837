/** Makes the pictures of the README anew, and its table of keys: `npm run pictures`. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Tmux } from '../tmux.ts';
import { keysOfReadme } from './readme.ts';
import { inProject, pictureFile, SCENES, take } from './scenes.ts';

const tmux = new Tmux();
try {
  for (const scene of SCENES) {
    const file = pictureFile(scene);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, (await take(tmux, scene)).svg);
    console.log(file);
  }
  const readme = inProject('README.md');
  writeFileSync(readme, keysOfReadme(readFileSync(readme, 'utf8')));
} finally {
  tmux.kill();
}
