/**
 * One Python for many pages. A page that was opened as a file cannot share a worker with the next one, so the first live
 * page stays, and shows the pages that the reader goes on to in a frame. They ask its Python through a port.
 */
import { make } from "./dom.js";

const HELLO = "ddpm-live-hello";
const HOST = "ddpm-live-host";
const AGAIN = "ddpm-live-again";
const MARK = "#page=";
const ROOT = new URL(document.documentElement.dataset.content_root ?? "./", location.href).href;
const ORIGIN = location.origin === "null" || location.protocol === "file:" ? "*" : location.origin;

const isOurs = (event) => ORIGIN === "*" || event.origin === ORIGIN;

/** @returns {boolean} Whether this address was left on another page of a live book: that one is opened. */
export function wentOn() {
  if (!location.hash.startsWith(MARK) || window.parent !== window) return false;
  const page = new URL(decodeURIComponent(location.hash.slice(MARK.length)), ROOT).href;
  if (!page.startsWith(ROOT)) return false; // an address that someone made up
  location.replace(page);
  return true;
}

/** In a frame: ask the page around it for its Python; onPort is called with the port if there is one. */
export function askHost(onPort) {
  if (window.parent === window) return;
  window.addEventListener("message", (event) => {
    if (event.source === window.parent && isOurs(event) && event.data === HOST) onPort(event.ports[0]);
  });
  window.parent.postMessage({ [HELLO]: location.href, title: document.title }, ORIGIN);
  for (const link of document.querySelectorAll("a.external, a[href^='http']")) link.target = "_top";
}

/** In a frame: have the page around it start Python again; askHost's onPort is told the new port. */
export function askAgain() {
  window.parent.postMessage(AGAIN, ORIGIN);
}

/**
 * Show the pages that links lead to in a frame, with this page's Python.
 * @param {Session} session
 * @param {{onReturn: () => void, onAgain: () => void}} page - The reader is back from the pages in the frame; the page
 *   in the frame wants Python to be started again.
 */
export function host(session, { onReturn, onAgain }) {
  let frame = null;

  function open(address) {
    if (frame) {
      frame.src = address;
      return;
    }
    frame = make("iframe.live-frame", { src: address, title: "The page" });
    document.body.append(frame);
    document.body.classList.add("live-hosting");
  }

  function close() {
    frame?.remove();
    frame = null;
    document.body.classList.remove("live-hosting");
    document.title = title;
    onReturn();
  }

  const title = document.title;
  window.addEventListener("message", (event) => {
    if (!frame || event.source !== frame.contentWindow || !isOurs(event)) return;
    if (event.data === AGAIN) onAgain();
    else if (!event.data?.[HELLO]) return;
    const { port1, port2 } = new MessageChannel();
    session.connect(port1);
    frame.contentWindow.postMessage(HOST, ORIGIN, [port2]);
    if (event.data === AGAIN) return;
    document.title = event.data.title;
    const page = event.data[HELLO].split("#")[0];
    if (page.startsWith(ROOT)) history.replaceState({ page }, "", MARK + encodeURIComponent(page.slice(ROOT.length)));
  });
  window.addEventListener("popstate", ({ state }) => (state?.page ? open(state.page) : close()));
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (!link || link.target || !plain || event.defaultPrevented) return;
    const here = location.href.split("#")[0];
    const [page] = link.href.split("#");
    if (page === here || !page.startsWith(ROOT) || !page.endsWith(".html")) return;
    event.preventDefault();
    history.pushState({ page: link.href }, "", MARK + encodeURIComponent(page.slice(ROOT.length)));
    open(link.href);
  });
}
