/** Entries that are kept. */
const KEPT = 4096;

/** A map that forgets what was put into it first. */
export class Memory<V> {
  readonly #map = new Map<number, V>();
  get(key: number): V | undefined {
    return this.#map.get(key);
  }
  set(key: number, value: V): void {
    this.#map.set(key, value);
    if (this.#map.size > KEPT) this.#map.delete(this.#map.keys().next().value!);
  }
}
