/** The frame of a demonstration that takes a while: controls, buttons, how far it is, and what it says at the end. */
import { panel } from "./controls.js";
import { Job } from "./job.js";

const DELAY = 250; // milliseconds that a slider has to rest before its setting is tried

/**
 * Make a demonstration live that a reader starts. Until then the picture that the page was built with stays.
 * @param {HTMLElement} element - The box: `data-settings` has the settings of its picture, `.demo-static` the picture.
 * @param {Session} session - Python in a worker.
 * @param {object} demo - `call`: the call; `title`: of the controls; `verb`: what the start button says; `fields`: of
 *   the controls; `settings(set)`: the call's arguments from what is set; `picture`: the node that is drawn into;
 *   `begin()`: told before each start; `take(item)`: draws an item and returns how far it is, 0..1, or nothing;
 *   `told(seconds)`: what is said at the end; `follows`: whether a change of a setting draws again what was drawn;
 *   `changed()`: told after a change of a setting.
 * @returns {{refresh: () => void}} To be called after a change of code.
 */
export function task(element, session, demo) {
  const set = JSON.parse(element.dataset.settings);
  const picture = element.querySelector(".demo-static");
  const [start, stop, other] = [button(demo.verb), button("Stop"), button("Another seed")];
  const far = document.createElement("progress");
  far.max = 1;
  far.setAttribute("aria-label", "how far it is");
  const says = paragraph("demo-status", "status");
  const trouble = paragraph("demo-trouble", "alert");
  trouble.hidden = true;
  let seed = set.seed;
  let began;
  let shown = false;

  const idle = (text) => {
    stop.disabled = true;
    far.hidden = true;
    says.textContent = text;
  };
  const job = new Job(session, demo.call, {
    item(item) {
      if (!shown) picture.replaceWith(demo.picture);
      shown = true;
      far.value = demo.take(item) ?? far.value;
    },
    ended: () => idle(demo.told((performance.now() - began) / 1000)),
    failed(message) {
      trouble.textContent = message;
      trouble.hidden = false;
      idle("");
    },
  });
  const run = (delay) => {
    demo.begin();
    began = performance.now() + (delay ?? 0);
    [stop.disabled, far.hidden, trouble.hidden, far.value] = [false, false, true, 0];
    says.textContent = "";
    job.start({ ...demo.settings(controls.settings()), seed }, delay);
  };
  const controls = panel(demo.title, demo.fields, set, () => {
    demo.changed?.();
    if (demo.follows && (shown || job.busy)) run(DELAY);
  });

  start.addEventListener("click", () => run());
  stop.addEventListener("click", () => {
    job.stop();
    idle("Stopped.");
    start.focus();
  });
  other.addEventListener("click", () => {
    seed += 1;
    run();
  });
  const buttons = document.createElement("div");
  buttons.className = "demo-buttons";
  buttons.append(start, stop, other, far);
  picture.before(controls.node, buttons, says, trouble);
  demo.changed?.();
  idle("");
  return {
    refresh() {
      if (job.busy || (demo.follows && shown)) run();
      else if (shown) says.textContent = `The code has changed since. “${demo.verb}” shows what it does now.`;
    },
  };
}

function button(text) {
  const node = document.createElement("button");
  [node.type, node.className, node.textContent] = ["button", "live-button", text];
  return node;
}

function paragraph(kind, role) {
  const node = document.createElement("p");
  node.className = kind;
  node.setAttribute("role", role);
  return node;
}
