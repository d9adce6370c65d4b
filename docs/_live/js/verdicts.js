/** What the checker said last: of each equation, and of the lines that code no longer computes. */

export class Verdicts extends EventTarget {
  #equations = new Map(); // id -> {verdict, was (the verdict before it), counterexample, hint, stale}
  #lines = new Map(); // id -> how it is broken
  #freshLines = new Map();

  /** @param {{id: string}[]} equations - All of them; they passed when the book was built. */
  constructor(equations) {
    super();
    for (const { id } of equations) this.#equations.set(id, { verdict: "PASS", counterexample: "", hint: "", stale: false });
  }

  of(id) {
    return this.#equations.get(id);
  }

  /** @returns {string[]} The equations that fail, in the paper's order. */
  get red() {
    return [...this.#equations].filter(([, found]) => found.verdict !== "PASS").map(([id]) => id);
  }

  get count() {
    return this.#equations.size;
  }

  /** @returns {[string, string][]} Lines of derivations that their code no longer computes, and how. */
  get broken() {
    return [...this.#lines];
  }

  /** A check begins: what is shown is old until it is said again. */
  begin() {
    for (const found of this.#equations.values()) found.stale = true;
    this.#freshLines = new Map();
    this.dispatchEvent(new Event("begin"));
  }

  /** @param {object} item - An item of the `check` call. */
  take(item) {
    if (item.equation) {
      const { verdict, counterexample, hint } = item;
      const was = this.#equations.get(item.equation).verdict;
      this.#equations.set(item.equation, { verdict, was, counterexample, hint, stale: false });
      this.dispatchEvent(new CustomEvent("equation", { detail: item.equation }));
    } else if (item.line) {
      this.#freshLines.set(item.line, item.broken);
    } else if (item.checked) {
      this.#lines = this.#freshLines;
      this.dispatchEvent(new Event("end"));
    }
  }
}
