/** Tiles: an equation each, green or red, with a name that a screen reader can say. */
import { make } from "./dom.js";

const SAID = { PASS: "holds", FAIL: "fails", UNVERIFIED: "cannot be checked", PRECISION: "holds", CONVENTION: "holds" };

/**
 * @param {{id: string, title: string}[]} equations
 * @param {Verdicts} verdicts
 * @param {(id: string) => void} onChoose - A tile was pressed.
 * @returns {{element: HTMLElement, tile: (id: string) => HTMLElement}} A list of tiles that follows the verdicts.
 */
export function tiles(equations, verdicts, onChoose) {
  const byId = new Map(equations.map((entry) => {
    const tile = make("button.live-tile", { type: "button", textContent: entry.id, onclick: () => onChoose(entry.id) });
    tile.title = `(${entry.id}) ${entry.title}`;
    return [entry.id, { tile, entry }];
  }));
  const show = (id) => {
    const { tile, entry } = byId.get(id);
    const { verdict, counterexample, stale } = verdicts.of(id);
    tile.dataset.verdict = verdict;
    tile.classList.toggle("stale", stale);
    const words = [`Equation ${id}, ${entry.title}: ${SAID[verdict]}`];
    if (counterexample) words.push(counterexample);
    tile.setAttribute("aria-label", words.join(". "));
  };
  verdicts.addEventListener("begin", () => byId.forEach(({ tile }) => tile.classList.add("stale")));
  verdicts.addEventListener("equation", ({ detail }) => byId.has(detail) && show(detail));
  byId.forEach((_, id) => show(id));
  const items = [...byId.values()].map(({ tile }) => make("li", {}, tile));
  return { element: make("ul.live-tiles", { role: "list" }, ...items), tile: (id) => byId.get(id)?.tile };
}
