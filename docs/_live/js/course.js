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
  #running;
  #own = new Map(); // equation -> the verdict on what the reader wrote
  #helped = new Map(); // equation -> the same with the solution in place of the gaps that are left

  constructor(element, session, tools) {
    this.#session = session;
    this.data = JSON.parse(element.querySelector(".course-data").textContent);
    this.titles = this.data.titles;
    this.gaps = this.data.gaps.map((gap, at) => new CourseGap(
      document.getElementById(`gap-${gap.method.replaceAll("_", "-")}`), { ...gap, number: at + 1 }, this.titles,
      { tools, answer: this.#answers[gap.method], onChange: (text) => this.#typed(gap.method, text) }));
    this.status = make("p.course-status", { role: "status" });
    this.bar = make("progress.course-progress", { max: Object.keys(this.titles).length, value: 0 });
    this.bar.setAttribute("aria-label", "Equations that hold");
    const tiles = make("ol.course-tiles", { role: "list" }, ...this.gaps.map((gap) => make("li", {}, gap.tile)));
    this.panel = make("section.course-panel", { "aria-label": "Progress in the course" },
      make("div.course-row", {}, this.status, this.bar,
        button("Next gap", () => this.#next()), button("Download", () => this.#download()),
        button("Start over", () => this.#startOver())),
      make("details", {}, make("summary", { textContent: `All ${this.gaps.length} gaps` }), tiles));
    element.append(this.panel);
    this.#check();
  }

  #written() {
    return this.gaps.filter(({ method }) => method in this.#answers);
  }

  #typed(method, text) {
    const { empty } = this.data.gaps.find((gap) => gap.method === method);
    if (text.trim() === empty.trim()) delete this.#answers[method];
    else this.#answers[method] = text;
    kept.keepCourse(this.#answers);
    this.#running?.cancel();
    clearTimeout(this.#waiting);
    this.#waiting = setTimeout(() => this.#check(method), PAUSE);
  }

  /** Check everything, the equations of one gap first, then those of all that are written. */
  async #check(method) {
    this.#running?.cancel();
    const written = this.#written();
    const own = this.gaps.filter((gap) => gap.method === method);
    const first = [...new Set([...own, ...written].flatMap(({ serves }) => serves))];
    this.gaps.forEach((gap) => gap.begin(gap.method in this.#answers));
    let patience;
    const wait = () => {
      clearTimeout(patience);
      patience = setTimeout(
        () => this.#say("This seems to run for ever: change it, and load the page again."), PATIENCE);
    };
    wait();
    const asked = this.#session.ask("check_exercise", { answers: { ...this.#answers }, first }, (item) => {
      wait();
      if (!item.equation) return;
      (item.with_solution ? this.#helped : this.#own).set(item.equation, item);
      for (const gap of this.gaps) if (gap.serves.includes(item.equation)) gap.show(this.#own, this.#helped);
      this.#count();
    }, { urgent: true });
    this.#running = asked;
    const cancel = asked.cancel;
    asked.cancel = () => {
      clearTimeout(patience);
      cancel();
    };
    try {
      await asked;
    } catch (error) {
      this.#trouble(error);
    } finally {
      clearTimeout(patience);
      document.body.dataset.courseChecks = Number(document.body.dataset.courseChecks ?? 0) + 1;
    }
  }

  #count() {
    const verdicts = [...this.#own.values()].map(({ verdict }) => verdict);
    const holding = verdicts.filter((verdict) => verdict === "PASS").length;
    const failing = verdicts.filter((verdict) => verdict === "FAIL").length;
    this.bar.value = holding;
    this.#say(`${holding} of ${this.bar.max} equations hold${failing ? `, ${failing} fail` : ""}`);
  }

  #say(text) {
    if (this.status.textContent !== text) this.status.textContent = text;
  }

  #trouble(error) {
    const text = error instanceof Trouble ? error.message : `Python stopped: ${error.message}`;
    const named = this.gaps.find(({ method }) => text.startsWith(`${method},`) || text.startsWith(`${method}:`));
    named?.trouble(text);
    this.#say(named ? `not checked: ${text}` : text);
  }

  /** Go to the first gap that does not hold. */
  #next() {
    (this.gaps.find(({ state }) => state !== "holds" && state !== "helped") ?? this.gaps[0]).go();
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
    this.#own.clear();
    this.#helped.clear();
    this.gaps.forEach((gap) => gap.reset());
    this.#check();
  }

  destroy() {
    this.#running?.cancel();
    clearTimeout(this.#waiting);
    this.gaps.forEach((gap) => gap.destroy());
    this.panel.remove();
  }
}
