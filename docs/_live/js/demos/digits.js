/** Digits drawn by the trained net: what the chain holds, what the net believes it to become, and one digit's way. */
import { choice, slider } from "./controls.js";
import { task } from "./task.js";
import { Tiles, grey } from "./tiles.js";

const ANY = "any";
const STRIP = 20; // the most estimates of a digit that are shown, ten in a row

/**
 * @param {HTMLElement} element - The box of the demonstration.
 * @param {Session} session - Python in a worker.
 * @returns {{refresh: () => void}} Draws again, after a change of code.
 */
export function mount(element, session) {
  const show = new Show();
  const { label, guidance, sampler, eta, list } = fields();
  return task(element, session, {
    call: "draw_digits", title: "Settings of the digits", verb: "Draw digits", fields: list, follows: true,
    settings: (set) => ({
      ...set,
      label: set.label === ANY ? null : Number(set.label),
      guidance: set.label === ANY ? 0 : set.guidance,
    }),
    changed() {
      guidance.input.disabled = label.get() === ANY;
      eta.input.disabled = sampler.get() !== "ddim";
    },
    picture: show.node,
    begin: () => show.begin(),
    take: (item) => show.take(item),
    told: (seconds) => `${show.count} digits in ${show.steps} steps: ${seconds.toFixed(1)} s.`,
  });
}

function fields() {
  const names = Object.fromEntries([[ANY, "any digit"], ...[..."0123456789"].map((name) => [name, name])]);
  const label = choice("label", "label", names);
  const set = label.set;
  label.set = (value) => set(value === null ? ANY : String(value));
  const guidance = slider("guidance", "guidance w", { from: 0, to: 4, step: 0.5,
    shown: (value) => value.toFixed(1) });
  const sampler = choice("sampler", "chain", { ddim: "DDIM", ddpm: "Algorithm 2" });
  const eta = slider("eta", "noise η", { from: 0, to: 1, step: 0.1,
    shown: (value) => value.toFixed(1) });
  const list = [label, guidance, sampler,
    slider("steps", "number of steps", { values: [1, 2, 3, 5, 10, 20, 50, 100] }), eta,
    slider("count", "number of digits", { values: [1, 2, 4, 8, 16] })];
  return { label, guidance, sampler, eta, list };
}

/** The picture: a row of x_t, a row of x̂₀, and the estimates of the chosen digit so far. */
class Show {
  constructor() {
    this.node = document.createElement("div");
    this.node.className = "digits";
    this.noisy = new Tiles();
    this.clean = new Tiles((number) => this.choose(number));
    this.way = document.createElement("canvas");
    this.way.className = "digits-way";
    this.way.setAttribute("role", "img");
    this.titles = ["xₜ", "x̂₀", ""].map((text) => {
      const title = document.createElement("p");
      title.className = "digits-title";
      title.textContent = text;
      return title;
    });
    this.node.append(this.titles[0], this.noisy.node, this.titles[1], this.clean.node, this.titles[2], this.way);
    this.chosen = 0;
  }

  begin() {
    this.estimates = [];
  }

  take({ t, x, x0, seen, size, visits }) {
    if (visits) {
      [this.size, this.visits, this.count, this.steps] = [size, visits, x.length, visits.length];
      this.chosen = Math.min(this.chosen, x.length - 1);
      this.kept = new Set(evenly(visits.length, STRIP).map((i) => visits[i]));
    }
    this.noisy.show(x, this.size);
    this.noisy.describe(`${this.count} images xₜ of the chain at t = ${t}`);
    this.titles[0].textContent = t ? `xₜ at t = ${t}` : "x₀: the digits";
    if (!x0) return 0;
    this.estimates.push({ seen, x0 });
    this.clean.show(x0, this.size);
    this.titles[1].textContent = `x̂₀ as the net sees it at t = ${seen}`;
    this.choose(this.chosen);
    return this.estimates.length / this.steps;
  }

  /** Show the way of another digit. */
  choose(number) {
    this.chosen = number;
    this.clean.press(number);
    const shown = this.estimates.filter(({ seen }) => this.kept.has(seen));
    if (!shown.length) return;
    const [from, to] = [shown[0].seen, shown.at(-1).seen];
    strip(this.way, shown.map(({ x0 }) => x0[number]), this.size, Math.min(10, this.kept.size));
    this.way.style.setProperty("--columns", Math.min(10, this.kept.size));
    this.titles[2].textContent = `x̂₀ of digit ${number + 1}, from t = ${from} to t = ${to}: choose another digit above`;
    this.way.setAttribute("aria-label", `${shown.length} estimates of digit ${number + 1}, from t = ${from} to t = ${to}`);
  }
}

/** At most `most` of the numbers 0 .. n − 1, evenly, the first and the last among them. */
function evenly(n, most) {
  return Array.from({ length: Math.min(n, most) }, (_, i) => (
    n <= most ? i : Math.round((i * (n - 1)) / (most - 1))));
}

/** Draw images one after another, `columns` in a row, a pixel apart. */
function strip(canvas, images, [height, width], columns) {
  canvas.width = columns * (width + 1) - 1;
  canvas.height = Math.ceil(images.length / columns) * (height + 1) - 1;
  const context = canvas.getContext("2d");
  images.forEach((image, i) => {
    context.putImageData(grey(image, width, height), (i % columns) * (width + 1), Math.floor(i / columns) * (height + 1));
  });
}
