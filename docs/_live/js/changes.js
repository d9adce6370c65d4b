/** The reader's changes: the source of each changed function, with the way back. */
import { kept } from "./storage.js";

export class Changes extends EventTarget {
  #now = {};
  #past = [];
  #originals;

  /** @param {Map<string, string>} originals - The source of each function of the page, by name. */
  constructor(originals) {
    super();
    this.#originals = originals;
    this.#now = kept.changes() ?? {};
  }

  /** @returns {Object<string, string>} The changed sources by name. */
  get all() {
    return { ...this.#now };
  }

  /** @returns {boolean} Whether there is something to undo. */
  get canUndo() {
    return this.#past.length > 0;
  }

  /** @returns {string | undefined} The source of a function as it is now. */
  source(name) {
    return this.#now[name] ?? this.#originals.get(name);
  }

  /** Change one function; its own source again is no change. Returns whether anything is another now. */
  set(name, text) {
    const next = { ...this.#now };
    if (text === this.#originals.get(name)) delete next[name];
    else next[name] = text;
    return this.replace(next);
  }

  /** Put these changes in the place of all others. Returns whether anything is another now. */
  replace(next) {
    if (JSON.stringify(next) === JSON.stringify(this.#now)) return false;
    this.#past.push(this.#now);
    this.#put(next);
    return true;
  }

  undo() {
    if (this.canUndo) this.#put(this.#past.pop());
  }

  #put(next) {
    this.#now = next;
    kept.keepChanges(next);
    this.dispatchEvent(new Event("change"));
  }
}
