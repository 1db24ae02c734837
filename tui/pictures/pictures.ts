/** Makes the pictures of the README anew: `npm run pictures`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Tmux } from '../tmux.ts';
import { pictureFile, SCENES, take } from './scenes.ts';

const tmux = new Tmux();
try {
  for (const scene of SCENES) {
    const file = pictureFile(scene);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, (await take(tmux, scene)).svg);
    console.log(file);
  }
} finally {
  tmux.kill();
}
