/**
 * Compile the Python of the pack with Pyodide's own Python: node compile.mjs CORE TREE
 *
 * TREE has stdlib/ and site/. What `ddpm_live.all` and a first use of it import becomes bytecode, which starts four
 * times as fast; the rest, which a page may never ask for, stays source, which is smaller.
 */
import { pathToFileURL } from "node:url";
import path from "node:path";

const [core, tree] = process.argv.slice(2).map((folder) => path.resolve(folder));
const { loadPyodide } = await import(pathToFileURL(path.join(core, "pyodide.mjs")));
const python = await loadPyodide({ indexURL: core + path.sep });
python.FS.mkdirTree("/tree");
python.mountNodeFS("/tree", tree);
const program = `
import importlib, pathlib, py_compile, sys

sys.dont_write_bytecode = True
sys.path.insert(0, "/tree/site")
import ddpm_live.all
ddpm_live.all.first_use()

def places():
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        for root, folder in (("/lib/python312.zip/", "stdlib"), ("/lib/python3.12/", "stdlib"), ("/tree/site/", "site")):
            if file.startswith(root) and file.endswith(".py"):
                yield folder, file[len(root):]

used = sorted(set(places()))
for folder, name in used:
    source = pathlib.Path("/tree", folder, name)
    if source.exists():
        # Docstrings and assertions of others are left out; ours are what the pages show and rest on.
        level = 0 if name.startswith(("ddpm_np/", "ddpm_live/")) else 2
        py_compile.compile(str(source), cfile=f"{source}c", dfile=name, doraise=True, optimize=level,
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        source.unlink()
len(used)
`;
try {
  console.log(`${python.runPython(program)} modules compiled`);
} catch (error) { // without the minified line that Node would print
  console.error(String(error.message ?? error));
  process.exit(1);
}
