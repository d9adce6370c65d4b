/** A gap of the course: its editor, its tile, and the verdicts on its equations. */
import { make } from "./dom.js";
import { words } from "./failures.js";

const SAID = {
  open: "not written yet", waits: "being checked", holds: "holds", helped: "holds, with the solution in the other gaps",
  fails: "fails", broken: "is no Python yet",
};

export class CourseGap {
  #text;
  #editor;
  #seen;
  #written = false;

  /**
   * @param {HTMLElement} element - The gap on the page.
   * @param {{method: string, empty: string, serves: string[], number: number}} gap
   * @param {Object<string, string>} titles - Of equations, by id.
   * @param {{tools: object, answer: string | undefined, onChange: (text: string) => void}} options
   */
  constructor(element, gap, titles, { tools, answer, onChange }) {
    Object.assign(this, gap, { element, titles, state: "open" });
    this.#text = answer ?? gap.empty;
    this.badge = make("span.course-badge");
    element.querySelector(".course-head").append(" ", this.badge);
    this.outcome = make("div.course-outcome");
    this.place = make("div.live-editor");
    this.source = element.querySelector(".course-code");
    this.source.after(this.place, this.outcome);
    this.tile = make("button.course-tile", { type: "button", textContent: gap.number, onclick: () => this.go() });
    // an editor is made when it comes near: a hundred at once would take seconds
    this.#seen = new IntersectionObserver(([entry]) => entry.isIntersecting && this.#open(tools, onChange),
      { rootMargin: "800px" });
    this.#seen.observe(element);
    this.#mark("open");
  }

  #open(tools, onChange) {
    this.#seen.disconnect();
    if (this.#editor) return;
    this.source.hidden = true;
    this.#editor = tools.editor(this.place, { text: this.#text, label: `Your ${this.method}`, onChange });
  }

  #mark(state) {
    this.state = state;
    this.element.dataset.state = this.tile.dataset.state = state;
    this.badge.textContent = SAID[state];
    const name = `${this.number}. ${this.method}: ${SAID[state]}`;
    this.tile.setAttribute("aria-label", name);
    this.tile.title = name;
  }

  /** A check begins. */
  begin(written) {
    this.#written = written;
    if (!written) {
      this.outcome.replaceChildren();
      this.#mark("open");
    }
  }

  /**
   * @param {Map<string, object>} own - Verdicts on what the reader wrote, by equation.
   * @param {Map<string, object>} helped - The same with the solution in place of the gaps that are left.
   */
  show(own, helped) {
    if (!this.#written) return;
    const known = this.serves.map((id) => [id, own.get(id), helped.get(id)]);
    const best = known.map(([, mine, other]) => (mine?.verdict === "UNVERIFIED" ? other : mine));
    if (best.some((item) => item?.verdict === "FAIL")) this.#mark("fails");
    else if (!best.every((item) => item)) this.#mark("waits");
    else this.#mark(known.every(([, mine]) => mine.verdict === "PASS") ? "holds" : "helped");
    this.outcome.replaceChildren(...known.filter(([, mine]) => mine).map((found) => this.#said(...found)));
  }

  #said(id, mine, other) {
    const item = mine.verdict === "UNVERIFIED" && other ? other : mine;
    const name = `(${id}) ${this.titles[id]}`;
    if (item.verdict === "FAIL") {
      const found = make("div.live-failure", {}, make("p", {}, make("span.live-red", { textContent: `(${id})` }),
        ...words(` ${this.titles[id]} fails`)), make("p.live-numbers", {}, ...words(item.counterexample)));
      if (item.hint) found.append(make("p.live-hint", {}, ...words(item.hint)));
      return found;
    }
    const lacks = mine.hint.replace("the target lacks", "still to be written:");
    const how = item.verdict !== "PASS" ? lacks : item === mine ? "" : `with the solution in the other gaps; ${lacks}`;
    return make("p.course-verdict", {}, ...words(`${name} ${item.verdict === "PASS" ? "holds" : "waits"}${how && `: ${how}`}`));
  }

  /** What is written is no Python. */
  trouble(text) {
    this.#mark("broken");
    this.outcome.replaceChildren(make("p.live-trouble", { role: "alert", textContent: text }));
  }

  /** Bring the gap into view, and put the focus on it. */
  go() {
    this.element.scrollIntoView({ block: "start" });
    const field = () => this.place.querySelector("[contenteditable], textarea");
    if (field()) field().focus({ preventScroll: true });
    else setTimeout(() => field()?.focus({ preventScroll: true }), 300); // its editor is made when it is in view
  }

  /** Empty the gap again. */
  reset() {
    this.#text = this.empty;
    this.#editor?.setText(this.empty);
  }

  destroy() {
    this.#seen.disconnect();
    this.#editor?.destroy();
    for (const made of [this.place, this.outcome, this.badge]) made.remove();
    this.source.hidden = false;
  }
}
