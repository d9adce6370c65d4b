/** Opens Python: the parts of the pack go to the worker one by one, as they are loaded. */
import worker from "worker-source";
import { make } from "./dom.js";
import { load } from "./loading.js";
import { Session } from "./session.js";

const LOADING = 0.5; // the share of the start that is loading; the rest is Python's

/**
 * @param {(stage: string, share: number) => void} onStage - Told how far the start is.
 * @param {MessagePort} [port] - To the Python of the page around this one.
 * @returns {Session} Python, starting.
 */
export function opened(onStage, port) {
  if (port) return new Session(port, onStage);
  confine();
  const running = begun();
  const session = new Session(running, (stage, share) => onStage(stage, LOADING + (1 - LOADING) * share));
  send(running, onStage).catch((error) => session.fail(error));
  return session;
}

/** End the Python of a page that opened one itself, even in the middle of something, and start it again. */
export function openAgain(session, onStage) {
  const running = begun();
  session.take(running);
  send(running, onStage).catch((error) => session.fail(error));
}

/**
 * Have the browser refuse this page, and a worker made by it, every other host. The worker takes away what it can, but
 * import() and fonts are no functions of its scope, and a change may have come with a link.
 */
function confine() {
  const own = location.protocol === "file:" ? "file:" : "'self'";
  const content = `default-src ${own} blob: data: 'unsafe-inline' 'unsafe-eval'`;
  document.head.append(make("meta", { httpEquiv: "Content-Security-Policy", content }));
}

function begun() {
  const address = URL.createObjectURL(new Blob([worker], { type: "text/javascript" }));
  return new Worker(address);
}

async function send(running, onStage) {
  const sizes = PARTS; // eslint-disable-line no-undef -- set when the book is built
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let loaded = 0;
  const told = () => onStage(`loading Python, ${(loaded / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB; `
    + "nothing leaves this machine", (LOADING * loaded) / total);
  told();
  for (const [at, size] of sizes.entries()) {
    let part;
    window.DDPM_LIVE.part = (text) => { part = text; };
    await load(`part-${String(at + 1).padStart(2, "0")}.js`);
    running.postMessage({ part });
    loaded += size;
    told();
  }
  running.postMessage({ parts: "all" });
}
