/** The course: an editor for each gap of the exercise, and what the checker says of what is in it. */
import { button, make } from "./dom.js";
import { CourseGap } from "./course-gap.js";
import { Trouble } from "./session.js";
import { kept } from "./storage.js";

const PAUSE = 300; // milliseconds without a key before what was typed is checked
const PATIENCE = 15_000; // milliseconds without an answer before a check counts as endless

/**
 * @param {HTMLElement} element - The place that the directive `course` made; the gaps follow it on the page.
 * @param {Session} session - Python, ready.
 * @param {{editor: Function}} tools - `editor(parent, {text, label, onChange})` as in editor.js.
 * @returns {{destroy: () => void}}
 */
export function mount(element, session, tools) {
  return new Course(element, session, tools);
}

/** The exercise in one file, with answers in the place of its gaps. */
export function filled(file, gaps, answers) {
  return gaps.reduce((text, { method, empty }) => (
    method in answers ? text.replace(indented(empty), () => indented(answers[method].trimEnd())) : text), file);
}

function indented(text) {
  return text.split("\n").map((line) => (line.trim() ? `    ${line}` : "")).join("\n");
}

class Course {
  #session;
  #answers = kept.course();
  #waiting;
  #asked = []; // what Python is asked now
  #own = new Map(); // equation -> the verdict on all that is written

  constructor(element, session, tools) {
    this.#session = session;
    this.data = JSON.parse(element.querySelector(".course-data").textContent);
    this.gaps = this.data.gaps.map((gap, at) => new CourseGap(
      document.getElementById(`gap-${gap.method.replaceAll("_", "-")}`), { ...gap, number: at + 1 },
      { tools, answer: this.#answers[gap.method], onChange: (text) => this.#typed(gap.method, text) }));
    this.status = make("p.course-status", { role: "status" });
    this.bar = make("progress.course-progress", { max: Object.keys(this.data.equations).length, value: 0 });
    this.bar.setAttribute("aria-label", "Equations that hold");
    const tiles = make("ol.course-tiles", { role: "list" }, ...this.gaps.map((gap) => make("li", {}, gap.tile)));
    this.panel = make("section.course-panel", { "aria-label": "Progress in the course" },
      make("div.course-row", {}, this.status, this.bar,
        button("Next gap", () => this.#next()), button("Download", () => this.#download()),
        button("Start over", () => this.#startOver())),
      make("details", {}, make("summary", { textContent: `All ${this.gaps.length} gaps` }), tiles));
    element.append(this.panel);
    document.body.classList.add("course");
    this.#check();
  }

  #typed(method, text) {
    const { empty } = this.data.gaps.find((gap) => gap.method === method);
    if (text.trim() === empty.trim()) delete this.#answers[method];
    else this.#answers[method] = text;
    kept.keepCourse(this.#answers);
    this.#cancel();
    this.#waiting = setTimeout(() => this.#check(method), PAUSE);
  }

  #cancel() {
    clearTimeout(this.#waiting);
    this.#asked.forEach((asked) => asked.cancel());
    this.#asked = [];
  }

  /** Ask Python; complain if it falls silent. */
  async #ask(name, args, onItem) {
    let patience;
    const wait = () => {
      clearTimeout(patience);
      patience = setTimeout(() => this.#say("This seems to run for ever: change it, and load the page again."), PATIENCE);
    };
    wait();
    const asked = this.#session.ask(name, args, (item) => {
      wait();
      onItem(item);
    }, { urgent: true });
    const { cancel } = asked;
    asked.cancel = () => {
      clearTimeout(patience);
      cancel();
    };
    this.#asked.push(asked);
    try {
      await asked;
    } finally {
      clearTimeout(patience);
    }
  }

  /** Check each gap that has changed, that of this method first; then all that is written together. */
  async #check(method) {
    this.#cancel();
    const changed = this.gaps.filter((gap) => gap.take(this.#answers[gap.method]));
    const first = changed.find((gap) => gap.method === method);
    if (!this.#own.size) this.#say("checking …");
    try {
      for (const gap of new Set(first ? [first, ...changed] : changed)) await this.#checkGap(gap);
      const answers = Object.fromEntries(
        this.gaps.filter(({ state }) => state !== "open" && state !== "broken").map((gap) => [gap.method, gap.answer]));
      await this.#ask("check_exercise", { answers, first: first?.serves ?? [] }, (item) => {
        if (item.equation) this.#own.set(item.equation, item);
        this.#count();
      });
      this.gaps.forEach((gap) => gap.show(this.#own, (id) => this.#waitsFor(id)));
    } catch (error) {
      this.#say(`Python stopped: ${error.message}`);
    } finally {
      document.body.dataset.courseChecks = Number(document.body.dataset.courseChecks ?? 0) + 1;
    }
  }

  async #checkGap(gap) {
    try {
      await this.#ask("check_gap", { method: gap.method, source: gap.answer, equations: gap.serves },
        (item) => item.equation && gap.judge(item));
      gap.show(this.#own, (id) => this.#waitsFor(id));
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      gap.trouble(error.message);
    }
  }

  /** The title of an equation, and the gaps that it still waits for. */
  #waitsFor(id) {
    const { title, gaps } = this.data.equations[id];
    const open = this.gaps.filter(({ method, state }) => gaps.includes(method) && (state === "open" || state === "broken"));
    return { title, open: open.map(({ method }) => method) };
  }

  #count() {
    const verdicts = [...this.#own.values()].map(({ verdict }) => verdict);
    const holding = verdicts.filter((verdict) => verdict === "PASS").length;
    const failing = verdicts.filter((verdict) => verdict === "FAIL").length;
    this.bar.value = holding;
    this.#say(`${holding} of ${this.bar.max} equations hold${failing ? `, ${failing} ${failing > 1 ? "fail" : "fails"}` : ""}`);
  }

  #say(text) {
    if (this.status.textContent !== text) this.status.textContent = text;
  }

  /** Go to the first gap that does not hold. */
  #next() {
    (this.gaps.find(({ state }) => state !== "holds") ?? this.gaps[0]).go();
  }

  #download() {
    const text = filled(this.data.file, this.data.gaps, this.#answers);
    const address = URL.createObjectURL(new Blob([text], { type: "text/x-python" }));
    make("a", { href: address, download: "diffusion.py" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  #startOver() {
    if (!window.confirm("Empty all gaps? What you wrote in them is lost; download it first if you want to keep it.")) return;
    this.#answers = {};
    kept.keepCourse(this.#answers);
    this.gaps.forEach((gap) => gap.reset());
    this.#check();
  }

  destroy() {
    this.#cancel();
    this.gaps.forEach((gap) => gap.destroy());
    this.panel.remove();
    document.body.classList.remove("course");
  }
}
