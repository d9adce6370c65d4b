/**
 * Compile the Python of the pack with Pyodide's own Python: node compile.mjs CORE TREE
 *
 * TREE has stdlib/ and site/. What `ddpm_live.all` and a first use of it import becomes bytecode, without
 * docstrings, which starts four times as fast. Of the rest the packages stay source, which is smaller; the standard library's is left out.
 */
import { pathToFileURL } from "node:url";
import path from "node:path";

const [core, tree] = process.argv.slice(2).map((folder) => path.resolve(folder));
const { loadPyodide } = await import(pathToFileURL(path.join(core, "pyodide.mjs")));
const python = await loadPyodide({ indexURL: core + path.sep });
python.FS.mkdirTree("/tree");
python.mountNodeFS("/tree", tree);
const program = `
import pathlib, py_compile, shutil, sys

sys.dont_write_bytecode = True
sys.path.insert(0, "/tree/site")
import ddpm_live.all
ddpm_live.all.first_use()

# What readers may write themselves, or an error's message may need.
KEPT = {"statistics.py", "_pydatetime.py", "_strptime.py", "_pyio.py", "_py_abc.py", "_pylong.py", "glob.py", "timeit.py",
        "pprint.py", "graphlib.py", "_threading_local.py", "_markupbase.py"}

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
        level = 0 if name == "numpy/_core/multiarray.py" else 2  # its docstrings go to functions in C
        py_compile.compile(str(source), cfile=f"{source}c", dfile=name, doraise=True, optimize=level,
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        source.unlink()
parts = {name.split("/")[0] for folder, name in used if folder == "stdlib"}
for path in pathlib.Path("/tree/stdlib").iterdir():
    if path.suffix == ".py" and path.name not in KEPT:
        path.unlink()
    elif path.is_dir() and path.name not in parts:
        shutil.rmtree(path)
len(used)
`;
try {
  console.log(`${python.runPython(program)} modules compiled`);
} catch (error) { // without the minified line that Node would print
  console.error(String(error.message ?? error));
  process.exit(1);
}
