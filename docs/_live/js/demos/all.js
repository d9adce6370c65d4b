/** The demonstrations of a page, each in the place that its directive made. */
import { mount as chain } from "./chain.js";
import { mount as ddim } from "./ddim.js";
import { mount as digits } from "./digits.js";
import { mount as forward } from "./forward.js";
import { mount as posterior } from "./posterior.js";
import { mount as toy } from "./toy.js";

const MOUNTS = { chain, ddim, digits, forward, posterior, toy };

/** @returns {{refresh: () => void}} To be called after a change of code: what is drawn may be another. */
export function mountAll(session) {
  const mounted = [...document.querySelectorAll(".live-demo")]
    .filter((element) => element.dataset.demo in MOUNTS)
    .map((element) => MOUNTS[element.dataset.demo](element, session));
  return { refresh: () => mounted.forEach((demo) => demo.refresh()) };
}
