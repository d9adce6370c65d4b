/** Bayes' rule for a forward step: what x_0 says of x_{t−1}, what x_t says, and the posterior (7). */
import { choice, slider } from "./controls.js";
import { SCHEDULES, keepShare, live, steps } from "./demo.js";
import { Plot, largest, legend, written } from "./plot.js";

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
    slider("T", "number of steps T", { values: steps(50) }),
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
    if (product) plot.dots(x, product.map((y) => (y > most / 100 ? y : null)), "demo-sample", { every: dotted(product) });
  } else {
    plot.stems([[mean, most]], "demo-exact");
  }
  const numbers = `t = ${item.t} of ${item.T}: the posterior has mean ${written(mean)} = ${written(item.weight_x_0)}·x₀ `
    + `+ ${written(item.weight_x_t)}·xₜ and variance β̃ₜ = ${written(variance)}; βₜ = ${written(item.beta)}.`
    + (posterior ? "" : " At t = 1 the point before is x₀ itself.");
  return { numbers, nodes: [
    plot.finished(`Densities of the point before step ${numbers}`),
    legend([["demo-data", "q(xₜ₋₁ | x₀), from x₀"], ["demo-likelihood", "q(xₜ | xₜ₋₁), from xₜ"],
      ["demo-sample", "their product, over its integral"], ["demo-exact", "q(xₜ₋₁ | xₜ, x₀) by (7)"]]),
  ] };
}

/** So many places apart that about 25 dots lie where the product can be seen. */
function dotted(product) {
  const most = largest(0, product);
  return Math.max(1, Math.round(product.filter((y) => y > most / 100).length / 25));
}
