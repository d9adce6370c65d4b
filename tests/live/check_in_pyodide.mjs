// Run a Python file in Pyodide, with NumPy and the pure wheels of a folder and the package of this checkout, no SciPy.
//
//   node check_in_pyodide.mjs FOLDER ROOT FILE
//
// FOLDER holds core/ (Pyodide) and wheels/; ROOT is put on Python's path. What the file prints goes to standard output.

import fs from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, root, file] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${folder}/core/pyodide.mjs`).href);
const pyodide = await loadPyodide({ indexURL: `${folder}/core/`, stderr: (line) => console.error(line) });
for (const name of fs.readdirSync(`${folder}/wheels`)) {
  if (name.endsWith(".whl") && !name.startsWith("scipy-")) {
    pyodide.unpackArchive(new Uint8Array(fs.readFileSync(`${folder}/wheels/${name}`)), "wheel");
  }
}
pyodide.FS.mkdirTree("/checkout");
pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root }, "/checkout");
pyodide.runPython("import sys; sys.dont_write_bytecode = True; sys.path[:0] = ['/checkout', '/checkout/tests/support']");
pyodide.runPython(fs.readFileSync(file, "utf8"));
