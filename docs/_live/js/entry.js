/** On every page: the button that makes it live. All else is loaded when it is pressed. */
import { askHost, wentOn } from "./host.js";
import { carried } from "./link.js";
import { kept } from "./storage.js";
import { load } from "./loading.js";

const WORDS = {
  button: "Make this page live",
  again: "Make this page live, with your changes",
  link: "Make this page live, with the change in this link",
  none: "This browser has no WebAssembly, without which Python cannot run in a page. All of the page can be read as it is.",
};
const FOUND = ".live-code, .equation, .relation, .live-demo, .live-course";

function place(title) {
  const bar = document.createElement("div");
  bar.className = "live-start";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "live-button";
  const fromLink = carried();
  button.textContent = fromLink ? WORDS.link : kept.changes() ? WORDS.again : WORDS.button;
  const note = document.createElement("span");
  note.className = "live-note";
  note.textContent = "Python runs in the page: change a line, and see which equation breaks. Nothing is sent anywhere.";
  bar.append(button, note);
  title.after(bar);
  const start = async (port) => {
    if (typeof WebAssembly !== "object" || typeof DecompressionStream !== "function") {
      note.textContent = WORDS.none;
      note.setAttribute("role", "status");
      return;
    }
    button.disabled = true;
    try {
      await load("page.js");
      window.DDPM_LIVE.start(bar, port);
    } catch (error) {
      button.disabled = false;
      note.textContent = `The live part could not be loaded: ${error.message}`;
      note.setAttribute("role", "status");
    }
  };
  let port;
  button.addEventListener("click", () => start(port));
  // A page that was live is live again after a reload, and in the frame of one that is. Code from a link waits.
  if (kept.live() && !fromLink && window.parent === window) start();
  askHost((given) => {
    port = given;
    if (window.DDPM_LIVE.take) window.DDPM_LIVE.take(port); // Python was started again
    else if (!fromLink) start(port);
  });
}

const title = document.querySelector("article h1");
if (!wentOn() && title && document.querySelector(FOUND)) place(title);
