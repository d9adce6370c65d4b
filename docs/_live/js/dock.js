/** The dock at the bottom of the window: how many equations hold, the page's tiles, and what one can do. */
import { button, make } from "./dom.js";
import { failures } from "./failures.js";
import { linkTo } from "./link.js";
import { tiles } from "./tiles.js";

export class Dock {
  #book;
  #verdicts;
  #changes;
  #panels = {};
  #open = "";

  /**
   * @param {object} book - Equations, lines and mistakes.
   * @param {Verdicts} verdicts
   * @param {Changes} changes
   * @param {{equations: string[], onTile: (id: string) => boolean}} page - onTile returns true if it took the press.
   */
  constructor(book, verdicts, changes, page) {
    this.#book = book;
    this.#verdicts = verdicts;
    this.#changes = changes;
    this.page = page;
    const choose = (id) => page.onTile(id) || this.#go(id);
    const own = book.equations.filter(({ id }) => page.equations.includes(id));
    this.own = tiles(own, verdicts, choose);
    this.all = tiles(book.equations, verdicts, choose);
    this.status = make("p.live-status");
    this.spoken = make("p.visually-hidden", { role: "status" });
    this.bar = make("div.live-bar", {}, make("span.live-done"));
    this.rail = new Map(book.equations.map(({ id, title }) => [id, make("span.live-mark", { title: `(${id}) ${title}` })]));
    this.undo = button("Undo", () => changes.undo());
    this.reset = button("Undo all", () => changes.replace({}));
    this.link = button("Copy a link", () => this.#copy(changes));
    this.buttons = make("div.live-buttons", {}, this.undo, this.reset, this.link);
    this.element = make("section.live-dock", { "aria-label": "The equations of this page, live" },
      make("div.live-row", {}, make("div.live-news", {}, this.status, this.spoken, this.bar,
        make("div.live-rail", { "aria-hidden": "true" }, ...this.rail.values())), this.own.element, this.buttons));
    this.panel("all", "All equations", make("div", {}, this.all.element));
    this.reds = this.panel("reds", "What fails", make("div"));
    verdicts.addEventListener("begin", () => {
      for (const mark of this.rail.values()) mark.dataset.verdict = "";
      this.#tell();
    });
    verdicts.addEventListener("equation", ({ detail: id }) => {
      const { verdict, was } = verdicts.of(id);
      this.rail.get(id).dataset.verdict = verdict;
      this.#tell();
      if (verdict !== "PASS" || was !== "PASS") this.#listReds();
    });
    verdicts.addEventListener("end", () => {
      this.#listReds();
      this.spoken.textContent = this.status.textContent;
    });
    const follow = () => {
      this.undo.disabled = !changes.canUndo;
      this.reset.disabled = this.link.disabled = !Object.keys(changes.all).length;
    };
    changes.addEventListener("change", follow);
    follow();
    document.body.append(this.element);
    // The end of the page can be scrolled above the dock, however high that is.
    new ResizeObserver(() => { document.body.style.paddingBottom = `${this.element.offsetHeight}px`; })
      .observe(this.element);
  }

  /** Add a panel that a button of the dock unfolds; returns what the panel holds. */
  panel(name, title, content) {
    const panel = make("div.live-panel", { id: `live-panel-${name}`, hidden: true }, content);
    const toggle = button(title, () => this.unfold(this.#open === name ? "" : name),
      { "aria-expanded": "false", "aria-controls": panel.id });
    this.#panels[name] = { panel, toggle };
    this.buttons.append(toggle);
    this.element.append(panel);
    return content;
  }

  /** Unfold one panel, or none. */
  unfold(name) {
    this.#open = name;
    for (const [key, { panel, toggle }] of Object.entries(this.#panels)) {
      panel.hidden = key !== name;
      toggle.setAttribute("aria-expanded", String(key === name));
    }
  }

  /** Show how far the start is. */
  starting(stage, share) {
    this.bar.hidden = share >= 1;
    this.bar.firstChild.style.width = `${100 * share}%`;
    if (share < 1) this.status.textContent = stage;
  }

  /** Say something in the status line. */
  say(text, kind = "") {
    this.#show(text, kind);
    this.spoken.textContent = text;
  }

  #show(text, kind) {
    this.status.textContent = text;
    this.element.dataset.kind = kind;
  }

  /** Tell how it stands, in the line that everyone sees: once an equation, so what is spoken waits for its end. */
  #tell() {
    const red = this.#verdicts.red;
    const total = this.#verdicts.count;
    const left = this.#book.equations.filter(({ id }) => this.#verdicts.of(id).stale).length;
    this.#show(red.length ? `${red.length} of ${total} equations fail` : left ? `checking, ${left} to go`
      : `all ${total} equations hold`, red.length ? "red" : left ? "" : "green");
    this.#panels.reds.toggle.disabled = !red.length && !this.#verdicts.broken.length;
  }

  #listReds() {
    const changed = Object.keys(this.#changes.all);
    const names = changed.flatMap((name) => [", ", make("code", { textContent: name })]).slice(1);
    this.reds.replaceChildren(make("p.live-changed", {}, "Changed: ", ...names),
      failures(this.#book, this.#verdicts, this.page.equations));
  }

  #go(id) {
    const entry = this.#book.equations.find((known) => known.id === id);
    const here = document.getElementById(entry.anchor);
    if (this.#verdicts.of(id).verdict !== "PASS") this.unfold("reds");
    if (here) here.scrollIntoView({ block: "start", behavior: "smooth" });
    else location.href = this.#book.address(entry);
  }

  async #copy(changes) {
    const link = await linkTo(changes.all);
    try {
      await navigator.clipboard.writeText(link);
      this.link.textContent = "Copied";
    } catch { // without permission, or from a file: the reader copies it
      window.prompt("This link carries your change:", link);
    }
    setTimeout(() => { this.link.textContent = "Copy a link"; }, 2000);
  }
}
