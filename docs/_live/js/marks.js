/** The page's own boxes of equations and lines: their verdicts follow the checks. */

const LINE_BROKEN = "its code computes something else";

/**
 * @param {object} book
 * @param {Verdicts} verdicts
 */
export function markBoxes(book, verdicts) {
  const chips = new Map(); // an element -> what was in it when the book was built
  const put = (box, text) => {
    const chip = box?.querySelector(".verdict");
    if (!chip) return;
    if (!chips.has(chip)) chips.set(chip, chip.textContent);
    chip.textContent = text ?? chips.get(chip);
    box.classList.toggle("live-broken", text !== null);
  };
  verdicts.addEventListener("equation", ({ detail: id }) => {
    const { verdict } = verdicts.of(id);
    const { anchor } = book.equations.find((entry) => entry.id === id);
    put(document.querySelector(`.equation#${CSS.escape(anchor)}`), verdict === "PASS" ? null : verdict);
  });
  verdicts.addEventListener("end", () => {
    const broken = new Map(verdicts.broken);
    for (const [id, { anchor }] of Object.entries(book.lines)) {
      put(document.querySelector(`.relation#${CSS.escape(anchor)}`), broken.has(id) ? LINE_BROKEN : null);
    }
  });
}
