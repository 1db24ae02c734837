/** What an event has to do with, as far as the order of calls in one thread matters: what dependences.ts says, as an event stream. */
import { MOST } from '../align/dependences.ts';
import { eventOf, type Origin, OTHER, whichOf } from '../meaning/links.ts';
import type { MakerName } from './lanes.ts';

export class About {
  /** objects and areas that the event names, and what they were made from; not what it makes itself */
  readonly things = new Set<Origin>();
  readonly #nameOf: (origin: Origin) => MakerName;
  #seq = 0;
  /** it names what nobody has made */
  #stranger = false;
  #some = false;
  #many = false;
  /** it has to do with the things alone */
  movable = false;

  constructor(nameOf: (origin: Origin) => MakerName) {
    this.#nameOf = nameOf;
  }

  begin(seq: number): void {
    this.#seq = seq;
    this.things.clear();
    this.#stranger = this.#some = this.#many = this.movable = false;
  }

  /** `there`: the number by which it is named is not 0 */
  add(origin: Origin, there: boolean): void {
    if (origin === 0) {
      this.#stranger ||= there;
      return;
    }
    if (whichOf(origin) === OTHER) return;
    this.#some = true;
    if (eventOf(origin) === this.#seq || this.#many) return;
    this.things.add(origin);
    const { on } = this.#nameOf(origin);
    for (const thing of on ?? []) this.things.add(thing);
    this.#many = on === undefined || this.things.size > MOST - OTHER;
  }

  /** All have been added. `isCall`: of an iommufd; `makes`: objects or areas */
  end(isCall: boolean, makes: boolean): void {
    this.movable = isCall && !this.#stranger && !this.#many && (makes || this.#some);
  }

  /** What depends on the event depends on these, too. */
  get on(): readonly Origin[] | undefined {
    return this.#many ? undefined : [...this.things];
  }
}
