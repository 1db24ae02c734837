/** Prints the shim's copy tables; the first line of what it prints is how to run it. */
import { shimHeader } from './emit-c.ts';

console.log(shimHeader().trimEnd());
