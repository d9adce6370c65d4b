/** A small net that learns points of the plane: its loss, and points drawn from it beside the data. */
import { choice, slider } from "./controls.js";
import { Plot, largest, written } from "./plot.js";
import { task } from "./task.js";

const RANGE = [-3, 3]; // of both coordinates

/**
 * @param {HTMLElement} element - The box of the demonstration.
 * @param {Session} session - Python in a worker.
 * @returns {{refresh: () => void}} Trains again, after a change of code, if it is training.
 */
export function mount(element, session) {
  const show = new Show();
  return task(element, session, {
    call: "train_toy", title: "Settings of the training", verb: "Train a net", fields: fields(), settings: (set) => set,
    picture: show.node,
    begin: () => show.begin(),
    take: (item) => show.take(item),
    told: (seconds) => `${show.told()} It took ${seconds.toFixed(1)} s.`,
  });
}

function fields() {
  return [
    choice("name", "data", { moons: "two moons", "swiss-roll": "a swiss roll", mixture: "five humps" }),
    slider("steps", "training steps", { values: [100, 200, 300, 400, 600, 800, 1000] }),
  ];
}

/** The picture: points at the left, the loss at the right, or one below the other on a phone. */
class Show {
  #frame;

  constructor() {
    this.node = document.createElement("div");
    this.node.className = "toy";
    this.plane = part("toy-plane");
    this.loss = part("toy-loss");
    this.says = document.createElement("p");
    this.says.className = "demo-numbers";
    this.node.append(this.plane, this.loss, this.says);
    new ResizeObserver(() => this.#later()).observe(this.node);
  }

  begin() {
    Object.assign(this, { points: [], curve: [], step: 0, t: null, drawnAt: 0, found: null });
  }

  take(item) {
    if (item.data) Object.assign(this, item);
    if (item.loss !== undefined) this.curve.push([this.step = item.step, item.loss]);
    if (item.points) [this.points, this.t, this.drawnAt] = [item.points, item.t, item.step];
    if (item.floor !== undefined) this.found = item;
    this.#later();
    return this.step / this.steps;
  }

  told() {
    const { achieved, floor } = this.found;
    return `On fresh points L_simple is ${achieved.toFixed(4)}; that of the best net there is, ${floor.toFixed(4)}.`;
  }

  #later() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined;
      if (this.data && this.node.clientWidth) this.#draw();
    });
  }

  #draw() {
    const width = Math.min(this.plane.clientWidth, 420);
    if (this.points !== this.drawn?.points || width !== this.drawn?.width) {
      this.drawn = { points: this.points, width };
      this.plane.replaceChildren(this.#points(width));
    }
    this.loss.replaceChildren(this.#curve(this.loss.clientWidth));
    const at = this.curve.at(-1);
    const state = this.t === null ? "" : this.t ? ` Drawing at t = ${this.t} of ${this.T}.`
      : ` The points are those of the net at step ${this.drawnAt}.`;
    this.says.textContent = at ? `Step ${at[0]} of ${this.steps}: loss ${written(at[1])}.${state}` : "";
  }

  #points(width) {
    const plot = new Plot(width, width, { range: RANGE, title: "x" }, { range: RANGE, title: "y" });
    const inside = (points) => points.filter((point) => point.every((at) => at !== null && Math.abs(at) <= RANGE[1]));
    const dots = (points, kind) => plot.dots(...[0, 1].map((i) => inside(points).map((point) => point[i])), kind,
      { radius: 2 });
    dots(this.data, "demo-data");
    dots(this.points, "demo-sample");
    const outside = this.points.length - inside(this.points).length;
    return plot.finished(`${this.data.length} points of the data, and ${this.points.length} drawn from the net at step `
      + `${this.drawnAt}${outside ? `, ${outside} of which are outside of the picture` : ""}.`);
  }

  #curve(width) {
    const steps = this.curve.map(([step]) => step);
    const losses = this.curve.map(([, loss]) => loss);
    const plot = new Plot(width, 240, { range: [0, 1.04 * this.steps], title: "training step" },
      { range: [0, 1.05 * largest(0.5, losses)], title: "loss" });
    plot.line(steps, losses, "demo-exact");
    if (this.found) plot.line([0, this.steps], [this.found.floor, this.found.floor], "demo-likelihood");
    return plot.finished(`The loss in ${steps.length} training steps${losses.length
      ? `, from ${written(losses[0])} to ${written(losses.at(-1))}` : ""}.`);
  }
}

function part(kind) {
  const node = document.createElement("div");
  node.className = kind;
  return node;
}
