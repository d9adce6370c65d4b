/** The forward process (4) on the number line: the density of x_t, and samples by q_sample. */
import { choice, slider } from "./controls.js";
import { DATA, SCHEDULES, keepShare, live, steps } from "./demo.js";
import { Plot, largest, written } from "./plot.js";

/**
 * @param {HTMLElement} element - The box of the demonstration.
 * @param {Session} session - Python in a worker.
 * @returns {{refresh: () => void}} Asks again, after a change of code.
 */
export function mount(element, session) {
  return live(element, session, { call: "forward", title: "Settings of the forward process", fields, changed: keepShare,
    draw });
}

function fields(settings) {
  return [
    slider("t", "step t", { from: 1, to: settings.T }),
    slider("T", "steps T", { values: steps(1000) }),
    choice("schedule", "schedule", SCHEDULES),
    choice("data", "data x₀", DATA),
  ];
}

function draw(item, width) {
  const { x, density, histogram, data } = item;
  const most = largest(0.5, density, histogram.heights);
  const plot = new Plot(width, Math.min(320, Math.max(220, width * 0.5)),
    { range: [x[0], x.at(-1)], title: "xₜ" }, { range: [0, 1.08 * most], title: "density" });
  plot.bars(histogram, "demo-sample");
  if (data.density) plot.line(x, data.density, "demo-data");
  plot.stems(data.points.map(([at, weight]) => [at, weight * most]), "demo-data");
  plot.line(x, density, "demo-exact");
  const numbers = `t = ${item.t} of ${item.T}: √ᾱₜ = ${written(item.signal)}, 1 − ᾱₜ = ${written(item.noise)}. `
    + `The samples have mean ${written(item.mean)} and variance ${written(item.variance)}.`;
  return { numbers, picture: plot.finished(`Density of x at step ${numbers}`) };
}
