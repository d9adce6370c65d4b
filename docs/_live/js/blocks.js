/** The page's code blocks as editors. A function that stands twice is changed in both places. */
import { make } from "./dom.js";
import { editor } from "./editor.js";

const PAUSE = 250; // milliseconds without a key before what was typed is checked

/** Editors follow after what the check has to show first: each of them lays out its lines. */
const whenIdle = (work) => (window.requestIdleCallback ? requestIdleCallback(work, { timeout: 200 }) : setTimeout(work, 50));

/** @returns {Map<string, string>} The source of each function that the page shows, by name. */
export function sources() {
  const found = new Map();
  for (const block of document.querySelectorAll(".live-code")) {
    found.set(block.dataset.function, block.querySelector("pre").textContent.trimEnd());
  }
  return found;
}

export class Blocks {
  #blocks = [];
  #changes;

  /**
   * @param {Changes} changes
   * @param {{onTyping: () => void, onSame: () => void}} options - onTyping is told at each key, before the pause;
   *   onSame after it, if what was typed was taken back.
   */
  constructor(changes, told) {
    this.#changes = changes;
    for (const element of document.querySelectorAll(".live-code")) this.#open(element, told);
    changes.addEventListener("change", () => whenIdle(() => this.#follow()));
    this.#follow();
  }

  #open(element, { onTyping, onSame }) {
    const name = element.dataset.function;
    const original = element.querySelector("[class*=highlight-]");
    const place = make("div.live-editor");
    const outcome = make("div.live-outcome");
    original.hidden = true;
    original.after(place, outcome);
    let waiting;
    const block = { element, name, outcome, waits: false };
    block.editor = editor(place, {
      text: this.#changes.source(name),
      label: `Source of ${name}`,
      onChange: (text) => {
        clearTimeout(waiting);
        block.waits = true;
        onTyping();
        waiting = setTimeout(() => {
          block.waits = false;
          if (!this.#changes.set(name, text)) onSame();
        }, PAUSE);
      },
    });
    this.#blocks.push(block);
  }

  #follow() {
    const changed = this.#changes.all;
    for (const block of this.#blocks) {
      if (!block.waits) block.editor.setText(this.#changes.source(block.name));
      block.element.classList.toggle("changed", block.name in changed);
    }
  }

  /** A check begins: what stands under the editors is old. Nothing is added, which would lay out the whole page again. */
  wait() {
    const changed = this.#changes.all;
    for (const { name, outcome } of this.#blocks) {
      if (name in changed) outcome.classList.add("stale");
      else outcome.replaceChildren();
    }
  }

  /** Show something under each editor whose function is changed, and nothing under the others. */
  show(made) {
    const changed = this.#changes.all;
    for (const { name, outcome } of this.#blocks) {
      outcome.classList.remove("stale");
      outcome.replaceChildren(...(name in changed ? [made()] : []));
    }
  }

  /** Unfold what an editor is folded in, and bring it into view. */
  reveal(name) {
    const block = this.#blocks.find((known) => known.name === name);
    for (let at = block?.element; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    block?.element.scrollIntoView({ block: "center", behavior: "smooth" });
  }
}
