/** DDIM with the best net: the same noise, walked with any amount of new noise η over any number of steps. */
import { choice, slider } from "./controls.js";
import { DATA, live, steps } from "./demo.js";
import { draw, gather } from "./walks.js";

/**
 * @param {HTMLElement} element - The box of the demonstration.
 * @param {Session} session - Python in a worker.
 * @returns {{refresh: () => void}} Asks again, after a change of code.
 */
export function mount(element, session) {
  return live(element, session, { call: "ddim", title: "Settings of DDIM", fields, gather, draw });
}

function fields() {
  return [
    slider("eta", "noise η", { from: 0, to: 1, step: 0.05, shown: (value) => value.toFixed(2) }),
    slider("steps", "steps", { values: steps(200) }),
    choice("data", "data x₀", DATA),
  ];
}
