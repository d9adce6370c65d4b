/** A gap of the course: its editor, its tile, and the verdicts on the function in it. */
import { make } from "./dom.js";
import { words } from "./failures.js";

const SAID = { open: "not written yet", waits: "being checked", holds: "right", fails: "wrong", broken: "no Python yet" };
const MOST = 3; // gaps named of those that an equation waits for

export class CourseGap {
  #editor;
  #seen;
  #alone = new Map(); // equation -> the verdict on this function alone

  /**
   * @param {HTMLElement} element - The gap on the page.
   * @param {{method: string, empty: string, serves: string[], number: number}} gap
   * @param {{tools: object, answer: string | undefined, onChange: (text: string) => void}} options
   */
  constructor(element, gap, { tools, answer, onChange }) {
    Object.assign(this, gap, { element, state: "open", answer: undefined });
    this.badge = make("span.course-badge");
    element.querySelector(".course-head").append(" ", this.badge);
    this.outcome = make("div.course-outcome");
    this.place = make("div.live-editor");
    this.source = element.querySelector(".course-code");
    this.source.after(this.place, this.outcome);
    this.tile = make("button.course-tile", { type: "button", textContent: gap.number, onclick: () => this.go() });
    // An editor is made when it comes near: a hundred at once would take seconds.
    this.#seen = new IntersectionObserver((entries) => {
      if (entries.some(({ isIntersecting }) => isIntersecting)) this.#open(tools, answer, onChange);
    }, { rootMargin: "800px" });
    this.#seen.observe(element);
    this.#mark("open");
  }

  #open(tools, answer, onChange) {
    this.#seen.disconnect();
    this.source.hidden = true;
    this.#editor = tools.editor(this.place, { text: answer ?? this.empty, label: `Your ${this.method}`, onChange });
  }

  #mark(state) {
    this.state = state;
    this.element.dataset.state = this.tile.dataset.state = state;
    this.badge.textContent = SAID[state];
    const name = `${this.number}. ${this.method}: ${SAID[state]}`;
    this.tile.setAttribute("aria-label", name);
    this.tile.title = name;
  }

  /**
   * @param {string | undefined} answer - What is written now; undefined: it is a gap.
   * @returns {boolean} Whether it has to be checked: it is written, and has no verdict yet.
   */
  take(answer) {
    if (answer === this.answer && this.state !== "waits") return false;
    this.answer = answer;
    this.#alone.clear();
    if (answer === undefined) this.outcome.replaceChildren();
    this.#mark(answer === undefined ? "open" : "waits");
    return answer !== undefined;
  }

  /** @param {object} item - A verdict on this function alone. */
  judge(item) {
    this.#alone.set(item.equation, item);
    const verdicts = [...this.#alone.values()].map(({ verdict }) => verdict);
    if (verdicts.includes("FAIL")) this.#mark("fails");
    else if (verdicts.length === this.serves.length) this.#mark(verdicts.every((verdict) => verdict === "PASS") ? "holds" : "open");
  }

  /**
   * Say what was found.
   * @param {Map<string, object>} own - Verdicts on all that is written, by equation.
   * @param {(id: string) => {title: string, open: string[]}} about - An equation's title, and the gaps that it waits for.
   */
  show(own, about) {
    if (this.state === "broken") return;
    this.outcome.replaceChildren(...[...this.#alone.values()].map((item) => said(item, own.get(item.equation), about)));
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
    if (this.#editor) this.#editor.setText(this.empty);
  }

  destroy() {
    this.#seen.disconnect();
    this.#editor?.destroy();
    for (const made of [this.place, this.outcome, this.badge]) made.remove();
    this.source.hidden = false;
  }
}

/** A verdict in words: on the function alone, and what its equation still waits for. */
function said({ equation, verdict, counterexample, hint }, own, about) {
  const { title, open } = about(equation);
  if (verdict === "FAIL") {
    const head = make("p", {}, make("span.live-red", { textContent: `(${equation})` }), ...words(` ${title} fails`));
    const found = make("div.live-failure", {}, head, make("p.live-numbers", {}, ...words(counterexample)));
    if (hint) found.append(make("p.live-hint", {}, ...words(hint)));
    return found;
  }
  if (verdict !== "PASS") return make("p.course-verdict", {}, ...words(`(${equation}) is not checked yet: ${hint}`));
  const named = open.slice(0, MOST).join(", ");
  const more = open.length > MOST ? ` and ${open.length - MOST} more` : "";
  const rest = own?.verdict === "PASS" ? "holds" : own?.verdict === "FAIL" ? "right here; another gap breaks it"
    : open.length ? `right here; it still needs ${named}${more}` : "right here";
  return make("p.course-verdict", {}, ...words(`(${equation}) ${title}: `), rest);
}
