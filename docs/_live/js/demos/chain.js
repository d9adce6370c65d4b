/** Algorithm 2 with the best net, step by step. */
import { choice, slider } from "./controls.js";
import { DATA, SCHEDULES, live, steps } from "./demo.js";
import { draw, gather } from "./walks.js";

/**
 * @param {HTMLElement} element - The box of the demonstration.
 * @param {Session} session - Python in a worker.
 * @returns {{refresh: () => void}} Asks again, after a change of code.
 */
export function mount(element, session) {
  return live(element, session, { call: "chain", title: "Settings of Algorithm 2", fields, gather, draw });
}

function fields() {
  return [
    slider("T", "steps T", { values: steps(200) }),
    choice("variance", "variance σₜ²", { small: "small, β̃ₜ", large: "large, βₜ" }),
    choice("schedule", "schedule", SCHEDULES),
    choice("data", "data x₀", DATA),
  ];
}
