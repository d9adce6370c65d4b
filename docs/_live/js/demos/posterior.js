/** Bayes' rule for a forward step: what x_0 says of x_{t−1}, what x_t says, and the posterior (7). */
import { choice, slider } from "./controls.js";
import { SCHEDULES, keepShare, live, steps } from "./demo.js";
import { Plot, largest, written } from "./plot.js";

/**
 * @param {HTMLElement} element - The box of the demonstration.
 * @param {Session} session - Python in a worker.
 * @returns {{refresh: () => void}} Asks again, after a change of code.
 */
export function mount(element, session) {
  return live(element, session, { call: "posterior", title: "Settings of the posterior", fields, changed: keepShare,
    draw });
}

function fields(settings) {
  const shown = (value) => value.toFixed(1).replace("-", "−");
  return [
    slider("x_0", "data point x₀", { from: -2, to: 2, step: 0.1, shown }),
    slider("x_t", "noisy point xₜ", { from: -2, to: 2, step: 0.1, shown }),
    slider("t", "step t", { from: 1, to: settings.T }),
    slider("T", "steps T", { values: steps(50) }),
    choice("schedule", "schedule", SCHEDULES),
  ];
}

function draw(item, width) {
  const { x, prior, likelihood, product, posterior, mean, variance } = item;
  const most = largest(0.5, prior ?? [], likelihood, posterior ?? [], product ?? []);
  const plot = new Plot(width, Math.min(320, Math.max(220, width * 0.5)),
    { range: [x[0], x.at(-1)], title: "xₜ₋₁" }, { range: [0, 1.08 * most], title: "density" });
  plot.line(x, likelihood, "demo-likelihood");
  if (posterior) {
    plot.line(x, prior, "demo-data");
    plot.line(x, posterior, "demo-exact");
    plot.dots(x, product.map((y) => (y > most / 100 ? y : null)), "demo-sample", { every: dotted(product) });
  } else {
    plot.stems([[mean, most]], "demo-exact");
  }
  const where = `t = ${item.t} of ${item.T}`;
  const numbers = posterior
    ? `${where}: the posterior has mean ${written(mean)}, by Bayes' rule ${written(item.by_bayes.mean)}, and variance `
      + `${written(variance)}, by Bayes' rule ${written(item.by_bayes.variance)}. βₜ is ${written(item.beta)}; x₀ and xₜ `
      + `have the weights ${written(item.weight_x_0)} and ${written(item.weight_x_t)}.`
    : `${where}: the point before is x₀ itself. The posterior has mean ${written(mean)} and variance ${written(variance)}.`;
  return { numbers, picture: plot.finished(`Densities of the point before step ${numbers}`) };
}

/** So many places apart that about 25 dots lie where the product can be seen. */
function dotted(product) {
  const most = largest(0, product);
  return Math.max(1, Math.round(product.filter((y) => y > most / 100).length / 25));
}
