/** "Plant a mistake": the catalogue's mistakes in the page's functions; guess which tiles go red, then see. */
import { button, make } from "./dom.js";
import { words } from "./failures.js";
import { kept } from "./storage.js";

/**
 * @param {object} mistake - Of the book's catalogue: place, old, new, count.
 * @param {string} source - The source of its function.
 * @returns {string | null} The source with the mistake; null if it does not fit.
 */
export function planted({ old, new: now, count }, source) {
  return source.split(old).length - 1 === count ? source.split(old).join(now) : null;
}

function nameButton(mistake, onclick) {
  const made = button("", onclick);
  made.append(...words(mistake.name));
  return made;
}

const inOneLine = (text) => text.split(/\s+/).join(" ").trim();

export class Mistakes {
  #known;
  #changes;
  #page;
  #guess = null; // the mistake whose red tiles are being guessed
  #guessed = new Set();
  #judging = null;

  /**
   * @param {object[]} known - The mistakes in the page's functions.
   * @param {Changes} changes
   * @param {{equations: string[], tile: (id: string) => HTMLElement, reveal: (name: string) => void}} page
   */
  constructor(known, changes, page) {
    this.#known = known;
    this.#changes = changes;
    this.#page = page;
    this.element = make("section.live-mistakes", { "aria-label": "Plant a mistake" });
    this.#list();
  }

  /** @returns {boolean} Whether a tile's press is a guess now. */
  get guessing() {
    return this.#guess !== null;
  }

  #list() {
    const groups = new Map();
    for (const mistake of this.#known) groups.set(mistake.place, [...(groups.get(mistake.place) ?? []), mistake]);
    const lists = [...groups].map(([place, mistakes]) => make("div", {},
      make("p.live-place", {}, make("code", { textContent: place.split(".").slice(-1)[0] })),
      make("ul.live-choices", { role: "list" }, ...mistakes.map((mistake) => make("li", {},
        nameButton(mistake, () => this.#ask(mistake)))))));
    this.element.replaceChildren(
      make("p", { textContent: "These are mistakes that people make in the functions of this page. Choose one, and guess "
        + "which equations it breaks." }), ...lists, this.#scoreLine());
  }

  #ask(mistake) {
    const source = planted(mistake, this.#changes.source(mistake.place));
    if (source === null) {
      this.element.prepend(make("p.live-hint", { role: "status",
        textContent: "This mistake no longer fits the changed function: undo your changes first." }));
      return;
    }
    this.#guess = mistake;
    this.#guessed.clear();
    const plant = (judged) => {
      const guessed = judged ? new Set(this.#guessed) : null;
      this.#stopGuessing();
      this.#judging = guessed;
      this.#changes.set(mistake.place, source);
      this.#page.reveal(mistake.place);
    };
    this.element.replaceChildren(
      make("p", {}, make("code", { textContent: mistake.place }), ": ", ...words(mistake.name)),
      make("p.live-change", {}, make("del", { textContent: inOneLine(mistake.old) }), " → ",
        make("ins", { textContent: inOneLine(mistake.new) })),
      make("p", { role: "status",
        textContent: "Which equations of this page turn red? Press their tiles, then see." }),
      make("p", {}, button("Plant it and see", () => plant(true)), button("Show me without a guess", () => plant(false)),
        button("Another mistake", () => { this.#stopGuessing(); this.#list(); })));
    for (const id of this.#page.equations) this.#page.tile(id).setAttribute("aria-pressed", "false");
    this.element.querySelector("button").focus();
  }

  /** A tile was pressed while guessing. */
  toggle(id) {
    if (!this.#page.equations.includes(id)) return;
    if (!this.#guessed.delete(id)) this.#guessed.add(id);
    this.#page.tile(id).setAttribute("aria-pressed", String(this.#guessed.has(id)));
  }

  #stopGuessing() {
    this.#guess = null;
    for (const id of this.#page.equations) this.#page.tile(id).removeAttribute("aria-pressed");
  }

  /** The check of what was planted has ended. */
  judge(red) {
    if (!this.#judging) {
      if (!this.guessing) this.#list();
      return;
    }
    const here = red.filter((id) => this.#page.equations.includes(id));
    const found = here.filter((id) => this.#judging.has(id));
    const vain = [...this.#judging].filter((id) => !here.includes(id));
    const score = kept.score();
    kept.keepScore({ rounds: score.rounds + 1, found: score.found + found.length,
      missed: score.missed + here.length - found.length, vain: score.vain + vain.length });
    this.#judging = null;
    const elsewhere = red.length - here.length;
    const verdict = here.length === found.length && !vain.length ? "Exactly." : `You named ${found.length} of ${here.length}`
      + (vain.length ? `, and ${vain.map((id) => `(${id})`).join(", ")} in vain.` : ".");
    this.element.replaceChildren(
      make("p.live-verdict", { role: "status", textContent: `${verdict} Red on this page: `
        + `${here.map((id) => `(${id})`).join(", ") || "none"}${elsewhere ? `; ${elsewhere} elsewhere` : ""}.` }),
      this.#scoreLine(),
      make("p", {}, button("Undo it, and another", () => { this.#changes.undo(); this.#list(); })));
  }

  #scoreLine() {
    const { rounds, found, missed, vain } = kept.score();
    return make("p.live-score", { textContent: rounds ? `Your score: ${found} of ${found + missed} red tiles named in `
      + `${rounds} round${rounds > 1 ? "s" : ""}, ${vain} named in vain.` : "" });
  }
}
