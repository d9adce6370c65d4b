/** What the built book holds: its pages, the functions on them, and the mistakes of the catalogue in these. */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import vm from "node:vm";
import { BOOK } from "./browser.mjs";

const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'", "#x27": "'" };

function text(html) {
  return html.replace(/<[^>]*>/g, "").replace(/&([\w#]+);/g, (all, name) => ENTITIES[name] ?? all).trimEnd();
}

/**
 * @returns {{live: Map<string, string[]>, sources: Object<string, string>, mistakes: Map<string, object>}} The pages
 *   with code or demonstrations that a reader can make live, with what they have; the source of each function on a page;
 *   the mistakes in these functions, by "function: mistake".
 */
export function pages() {
  const live = new Map();
  const sources = {};
  for (const name of readdirSync(BOOK, { recursive: true })) {
    if (!name.endsWith(".html")) continue;
    const html = readFileSync(path.join(BOOK, name), "utf8");
    for (const [, kind] of html.matchAll(/<\w+ class="(?:[\w -]* )?(live-code|live-demo|live-course)\b/g)) {
      live.set(name, [...new Set([...(live.get(name) ?? []), kind])]);
    }
    for (const [, place, code] of html.matchAll(/class="live-code" data-function="([^"]+)">.*?<pre>(.*?)<\/pre>/gs)) {
      sources[place] = text(code);
    }
  }
  const sandbox = { DDPM_LIVE: {} };
  vm.runInNewContext(readFileSync(path.join(BOOK, "_static/live/book.js"), "utf8"), sandbox);
  const mistakes = new Map(sandbox.DDPM_LIVE.book.mistakes.filter(({ place }) => place in sources)
    .map((mistake) => [`${mistake.place}: ${mistake.name}`, mistake]));
  return { live, sources, mistakes };
}
