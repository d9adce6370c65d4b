/** A link that carries changed functions: in its fragment, which browsers send to nobody. */

const MARK = "#live=";

async function through(stream, bytes) {
  const answer = new Response(new Blob([bytes]).stream().pipeThrough(stream));
  return new Uint8Array(await answer.arrayBuffer());
}

/** @returns {string} What this page's address carries; empty if nothing. */
export function carried() {
  return location.hash.startsWith(MARK) ? location.hash.slice(MARK.length) : "";
}

/**
 * @param {Object<string, string>} changes - Sources by name.
 * @returns {Promise<string>} This page's address with the changes in it.
 */
export async function linkTo(changes) {
  const bytes = await through(new CompressionStream("deflate-raw"), new TextEncoder().encode(JSON.stringify(changes)));
  const text = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return location.href.split("#")[0] + MARK + text;
}

/**
 * @param {string} text - What `carried` returned.
 * @returns {Promise<Object<string, string>>} The changes; an error if the text holds none.
 */
export async function changesIn(text) {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const changes = JSON.parse(new TextDecoder().decode(await through(new DecompressionStream("deflate-raw"), bytes)));
  const good = changes && typeof changes === "object" && Object.values(changes).every((text) => typeof text === "string");
  if (!good) throw new Error("the link holds no changes");
  return changes;
}

/** Take the changes out of the address, so that a reload shows the reader's own. */
export function dropCarried() {
  history.replaceState(null, "", location.href.split("#")[0]);
}
