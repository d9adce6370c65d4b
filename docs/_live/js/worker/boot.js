/** Starts Pyodide from files in memory, with no network, and imports what the pages ask for. */
import { listed } from "./unpack.js";

const TYPES = { wasm: "application/wasm", json: "application/json", zip: "application/zip" };
const HOME = "https://files.invalid/"; // where Pyodide believes its files to be; nothing is ever asked of it
const NETWORK = ["fetch", "XMLHttpRequest", "WebSocket", "EventSource", "WebTransport", "importScripts", "Worker",
  "BroadcastChannel", "indexedDB", "caches"];

/**
 * @param {Map<string, Uint8Array>} files - Pyodide's, and site.bin with the packages.
 * @param {(stage: string, share: number) => void} onStage - Told how far it is.
 * @returns {Promise<{start: Function, advance: Function, stop: Function}>} The calls of ddpm_live.
 */
export async function boot(files, onStage) {
  onStage("starting Python", 0);
  self.fetch = async (address) => {
    const name = String(address.url ?? address).slice(HOME.length);
    if (!files.has(name)) throw new Error(`there is no network here, and no file ${name}`);
    return new Response(files.get(name), { headers: { "content-type": TYPES[name.split(".").pop()] } });
  };
  for (const name of ["pyodide.js", "pyodide.asm.js"]) {
    const script = URL.createObjectURL(new Blob([files.get(name)], { type: "text/javascript" }));
    self.importScripts(script);
    URL.revokeObjectURL(script);
    files.delete(name);
  }
  const python = await self.loadPyodide({
    indexURL: HOME, lockFileURL: `${HOME}pyodide-lock.json`, stdLibURL: `${HOME}python_stdlib.zip`,
  });
  onStage("unpacking the packages", 0.4);
  const site = python.runPython("import site; site.getsitepackages()[0]");
  write(python.FS, site, listed(files.get("site.bin")));
  files.clear();
  shutNetwork();
  onStage("loading NumPy", 0.5);
  python.runPython("import numpy");
  onStage("loading ddpm_np", 0.7);
  python.runPython("import ddpm_live.all");
  onStage("ready", 1);
  const calls = python.pyimport("ddpm_live.calls");
  return { start: calls.start, advance: calls.advance, stop: calls.stop };
}

function write(system, root, files) {
  const made = new Set();
  for (const [name, bytes] of files) {
    const folder = `${root}/${name.slice(0, name.lastIndexOf("/") + 1)}`;
    if (!made.has(folder)) {
      system.mkdirTree(folder);
      made.add(folder);
    }
    system.writeFile(`${root}/${name}`, bytes, { canOwn: true });
  }
}

/** Python can reach what this scope holds: a change that came with a link must not be able to send anything. */
function shutNetwork() {
  for (const name of NETWORK) {
    Object.defineProperty(self, name, { value: undefined, writable: false, configurable: false });
  }
}
