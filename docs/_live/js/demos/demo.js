/** The frame of a demonstration: its controls, its picture and its numbers, in the box that the page was built with. */
import { Asker, panel } from "./controls.js";

const STEPS = [2, 5, 10, 20, 50, 100, 200];

/** The choices that several demonstrations offer, as ddpm_live.line names them. */
export const DATA = { points: "−1 or +1", mixture: "three humps" };
export const SCHEDULES = { linear: "paper's linear", cosine: "cosine", constant: "constant β" };

/** Numbers of steps for a slider, up to a largest one. */
export const steps = (most) => [...STEPS, 500, 1000].filter((T) => T <= most);

/**
 * Make a demonstration live.
 * @param {HTMLElement} element - The box: `data-settings` has the settings of its picture, `.demo-static` the picture.
 * @param {Session} session - Python in a worker.
 * @param {object} demo - `call`: the call; `title`: of the controls; `fields(settings)`: its fields;
 *   `changed(field, fields)`: what else follows from a change; `gather(state, item, first)`: what is drawn after an item;
 *   `draw(state, width)`: its `picture`, an element, and its `numbers`, a text.
 * @returns {{refresh: () => void}} `refresh` asks again, after a change of code.
 */
export function live(element, session, { call, title, fields: made, changed = () => {}, gather = (_, item) => item,
  draw }) {
  const settings = JSON.parse(element.dataset.settings);
  const fields = made(settings);
  const picture = part("div", "demo-picture");
  const numbers = part("p", "demo-numbers");
  const trouble = part("p", "demo-trouble");
  trouble.setAttribute("role", "alert");
  trouble.hidden = true;
  let state;
  let frame;

  const redraw = () => {
    frame = undefined;
    if (!state || !picture.clientWidth) return;
    const drawn = draw(state, picture.clientWidth);
    picture.replaceChildren(drawn.picture);
    numbers.textContent = drawn.numbers;
  };
  const later = () => {
    frame ??= requestAnimationFrame(redraw);
  };
  const asker = new Asker(session, call, (item, first) => {
    state = gather(state, item, first);
    trouble.hidden = true;
    element.classList.remove("demo-stale");
    later();
  }, (message) => {
    trouble.textContent = message;
    trouble.hidden = false;
    element.classList.add("demo-stale");
  });
  const controls = panel(title, fields, settings, (field) => {
    changed(field, Object.fromEntries(fields.map((other) => [other.name, other])));
    asker.ask(controls.settings());
  });

  const box = part("div", "demo-live");
  box.append(controls.node, trouble, picture, numbers);
  element.querySelector(".demo-static").replaceWith(box);
  new ResizeObserver(later).observe(picture);
  const refresh = () => asker.ask(controls.settings());
  refresh();
  return { refresh };
}

function part(name, kind) {
  const node = document.createElement(name);
  node.className = kind;
  return node;
}

/** A change of T: t keeps its share of the way. */
export function keepShare(field, { T, t }) {
  if (field !== T) return;
  const share = t.get() / Number(t.input.max);
  t.limit(T.get());
  t.set(Math.max(1, Math.round(share * T.get())));
}
