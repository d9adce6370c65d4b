/** Every mistake of the catalogue in a page's functions turns the same equations red in a page as in this Python. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { pages } from "./book.mjs";
import { BROWSERS, launched, missing, ROOT, served } from "./browser.mjs";
import { idle, makeLive, open } from "./reader.mjs";

const PYTHON = path.join(ROOT, ".venv", process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
const skip = (Object.keys(BROWSERS).length ? false : missing("chromium"))
  || (existsSync(PYTHON) ? false : "there is no .venv to compare with");

/** What native_verdicts.py says of functions. */
async function native(names) {
  const program = spawn(PYTHON, [path.join(ROOT, "tests/live/native_verdicts.py")],
    { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, OPENBLAS_NUM_THREADS: "1" } });
  program.stdin.end(JSON.stringify(names));
  let text = "";
  for await (const part of program.stdout) text += part;
  return JSON.parse(text);
}

/** The verdicts on all equations with changes, as a page is told them. */
function verdicts(page, changes) {
  return page.evaluate((sources) => new Promise((resolve, reject) => {
    const { session, book } = window.DDPM_LIVE;
    const found = {};
    const asked = session.ask("check", { changes: sources, first: [] }, ({ equation, verdict }) => {
      if (equation) found[equation] = verdict;
      if (Object.keys(found).length === book.equations.length) { // the lines of derivations are not compared here
        asked.cancel();
        resolve(found);
      }
    });
    asked.catch((error) => reject(new Error(`${Object.keys(sources)}: ${error.message}`)));
  }), changes);
}

describe("beside this Python", { skip }, () => {
  const open_browsers = [];
  const sessions = [];
  let server;
  let book;
  let expected;

  before(async () => {
    server = await served();
    book = pages();
    expected = await native(Object.keys(book.sources));
    const names = Object.keys(BROWSERS);
    for (let i = 0; i < Math.max(names.length, Math.min(4, availableParallelism())); i++) {
      const name = names[i % names.length];
      let browser = open_browsers.find((known) => known.name === name);
      if (!browser) open_browsers.push(browser = await launched(name));
      const page = await browser.page();
      await open(page, server.address());
      await makeLive(page);
      await idle(page);
      sessions.push({ name, page });
    }
  });
  after(async () => {
    for (const browser of open_browsers) await browser.close();
    server?.close();
  });

  test("without a change every equation has the same verdict, random cases included", async () => {
    for (const { name, page } of sessions) {
      const found = await page.evaluate(async () => {
        const { session, book: known } = window.DDPM_LIVE;
        const said = {};
        for (const { id } of known.equations) said[id] = (await session.ask("check_further", { equation: id })).verdict;
        return said;
      });
      assert.deepEqual(found, expected.right, name);
    }
  });

  test("with each mistake every equation has the same verdict", async (t) => {
    const queue = Object.entries(expected.changed);
    const count = queue.length;
    const wrong = [];
    await Promise.all(sessions.map(async ({ name, page }) => {
      while (queue.length) {
        const [mistake, native] = queue.shift();
        const { place, old, new: now } = book.mistakes.get(mistake);
        const found = await verdicts(page, { [place]: book.sources[place].split(old).join(now) });
        const other = Object.keys(native).filter((id) => found[id] !== native[id]);
        if (other.length) wrong.push(`${name}, ${mistake}: ${other.map((id) => `(${id}) ${found[id]} for ${native[id]}`)}`);
      }
    }));
    const red = Object.values(expected.changed).filter((native) => Object.values(native).includes("FAIL")).length;
    t.diagnostic(`${count} mistakes in functions of pages, ${red} of them red, in ${sessions.length} sessions`);
    assert.deepEqual(wrong, []);
    assert.ok(count > 100);
    assert.equal(red, count, "every mistake turns something red");
  });
});
