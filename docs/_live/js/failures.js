/** What fails, and by which numbers: under the editor that was changed, and in the dock. */
import { make } from "./dom.js";

/** @returns {Node[]} Words of the checker, the indices of its symbols set as indices. */
export function words(text) {
  const parts = [];
  let at = 0;
  for (const match of text.matchAll(/_\{([^{}]+)\}|(?<=\S)_([0-9A-Za-zθ])(?![A-Za-z0-9_])/gu)) {
    parts.push(text.slice(at, match.index), make("sub", { textContent: match[1] ?? match[2] }));
    at = match.index + match[0].length;
  }
  return [...parts, text.slice(at)];
}

/** @returns {HTMLElement} One equation that fails, with its counterexample and the likely mistake. */
export function failure(book, verdicts, id) {
  const { counterexample, hint } = verdicts.of(id);
  const entry = book.equations.find((known) => known.id === id);
  const head = make("p", {}, make("a.live-red", { href: book.address(entry), textContent: `(${id})` }), " ", ...words(entry.title));
  const item = make("li.live-failure", {}, head, make("p.live-numbers", {}, ...words(counterexample)));
  if (hint) item.append(make("p.live-hint", {}, ...words(hint)));
  return item;
}

/** @returns {HTMLElement} A line of a derivation that the code no longer computes. */
export function brokenLine(book, id, broken) {
  const line = book.lines[id];
  const head = make("p", {}, "breaks the line ", make("a.live-red", { href: book.address(line), textContent: id }));
  return make("li.live-failure", {}, head, make("p.live-numbers", {}, ...words(broken)));
}

/**
 * @param {number} [most] - No more than as many of each; the rest is counted.
 * @returns {HTMLElement} All that fails, lines of derivations included.
 */
export function failures(book, verdicts, first = [], most = Infinity) {
  const red = verdicts.red.toSorted((a, b) => first.includes(b) - first.includes(a));
  const list = make("ul.live-failures", { role: "list" });
  list.append(...red.slice(0, most).map((id) => failure(book, verdicts, id)));
  if (red.length > most) list.append(make("li", { textContent: `and ${red.length - most} more equations` }));
  const broken = verdicts.broken;
  list.append(...broken.slice(0, most).map(([id, how]) => brokenLine(book, id, how)));
  if (broken.length > most) list.append(make("li", { textContent: `and ${broken.length - most} more lines` }));
  return list;
}
