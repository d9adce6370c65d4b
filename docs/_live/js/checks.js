/** The checks after changes, one at a time: asked of Python, shown as they come, and ended if they never do. */
import { make } from "./dom.js";
import { failures } from "./failures.js";
import { Trouble } from "./session.js";

const PATIENCE = 15_000; // milliseconds without an answer before a change seems to run for ever
const MOST = 6; // equations, and lines, that stand under an editor

export class Checks extends EventTarget {
  #page;
  #running = null;
  #patience;
  #sound = {};

  /**
   * @param {object} page - What a check needs of its page: session, book, verdicts, changes, blocks, dock; the ids of
   *   the page's own equations and lines.
   */
  constructor(page) {
    super();
    this.#page = page;
  }

  /** @returns {Object<string, string>} The changes of the last check that ended. */
  get sound() {
    return this.#sound;
  }

  /** The reader types on: what is being checked is old. */
  stop() {
    this.#running?.cancel();
    clearTimeout(this.#patience);
  }

  /**
   * Check what is changed now. Events: "own" once the page's own equations are through, "end" after all; "silent" if no
   * answer comes, "answers" when one does.
   */
  async run() {
    const { session, verdicts, changes, blocks, dock, equations, lines } = this.#page;
    this.stop();
    const asking = changes.all;
    let seen = 0;
    const asked = session.ask("check", { changes: asking, first: equations, lines }, (item) => {
      this.#wait();
      verdicts.take(item);
      if (item.equation && item.verdict !== "PASS") {
        this.#showFailures();
        window.performance.mark("live-red");
      }
      seen += 1;
      if (seen === Math.max(1, equations.length)) {
        asked.relax(); // what is drawn comes before the rest
        this.#tell("own");
      }
    }, { urgent: true });
    this.#running = asked;
    this.#wait(); // what follows is drawn while Python works
    verdicts.begin();
    blocks.wait();
    try {
      await asked;
      this.#sound = asking;
      if (verdicts.red.length || verdicts.broken.length) this.#showFailures();
      else blocks.show(() => make("p.live-fine", { textContent: `all ${verdicts.count} equations still hold` }));
      this.#tell("end");
    } catch (error) {
      const text = error instanceof Trouble ? error.message : `Python stopped: ${error.message}`;
      blocks.show(() => make("p.live-trouble", { role: "alert", textContent: text }));
      dock.say("not checked: the change is no Python yet", "red");
    } finally {
      clearTimeout(this.#patience);
      document.body.dataset.liveChecks = Number(document.body.dataset.liveChecks ?? 0) + 1;
    }
  }

  #showFailures() {
    const { book, verdicts, blocks, equations } = this.#page;
    blocks.show(() => failures(book, verdicts, equations, MOST));
  }

  #wait() {
    clearTimeout(this.#patience);
    this.#tell("answers");
    this.#patience = setTimeout(() => this.#tell("silent"), PATIENCE);
  }

  #tell(event) {
    this.dispatchEvent(new Event(event));
  }
}
