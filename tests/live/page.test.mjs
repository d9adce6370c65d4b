/** A page made live: what a reader does to it, by mouse and by keyboard, and what the page answers. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { file, launched, missing, served } from "./browser.mjs";
import { change, checked, makeLive, open, outcome, POSTERIOR, pressButton, ready, reds, replace, sleep, source,
  status, tabTo, unfold } from "./reader.mjs";

const BETA = ["k.beta_tilde", "k.beta"]; // β for β̃ in q_posterior
const NUMBERS = /β̃t got 7\/16, expected 63\/256/; // of (7); t is an index

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

    /** A live page with storage of its own. */
    async function live(address = file()) {
      const page = await browser.page();
      await open(page, address);
      await makeLive(page);
      return page;
    }

    for (const [where, address] of [["a file", () => file()], ["a static server", () => server.address()]]) {
      test(`from ${where}: live, a mistake red, without a request to another host or an error`, async () => {
        const page = await live(address());
        await checked(page, () => change(page, ...BETA));
        assert.deepEqual(await reds(page), ["6", "7"]);
        assert.deepEqual(page.errors, []);
        assert.deepEqual(browser.left(), []);
      });
    }

    test("by keyboard alone: the button, the fold, the editor, out of it again", async () => {
      const page = await browser.page();
      await open(page, file());
      await tabTo(page, ".live-start .live-button");
      await page.keyboard.press("Enter");
      await ready(page);
      await tabTo(page, "summary", `.live-code[data-function="${POSTERIOR}"]`);
      await page.keyboard.press("Enter");
      await tabTo(page, ".cm-content", undefined, 30);
      const text = await source(page, POSTERIOR);
      await checked(page, () => replace(page, text, ...BETA));
      assert.deepEqual(await reds(page), ["6", "7"]);
      assert.match(await outcome(page), NUMBERS);
      assert.match(await outcome(page), /breaks the line posterior\.variance/);
      assert.equal(await status(page), "2 of 72 equations fail");
      await page.keyboard.press("Tab");
      assert.ok(await page.evaluate(() => !document.activeElement.closest(".cm-editor")), "Tab leaves the editor");
      assert.equal(await source(page, POSTERIOR), text.replace(...BETA), "Tab types nothing");
    });

    test("Undo makes all green, and the source is what it was", async () => {
      const page = await live();
      await unfold(page);
      const text = await source(page, POSTERIOR);
      await checked(page, () => change(page, ...BETA));
      assert.equal((await reds(page)).length, 2);
      await checked(page, () => pressButton(page, "Undo"));
      assert.deepEqual(await reds(page), []);
      assert.equal(await source(page, POSTERIOR), text);
      assert.equal(await outcome(page), "");
      assert.equal(await status(page), "all 72 equations hold");
    });

    test("what is typed and taken back before a check has ended is checked all the same", async () => {
      const page = await live();
      await checked(page, async () => {
        await change(page, "variance = k", "variance = kk");
        await page.keyboard.press("Backspace");
      });
      assert.equal(await status(page), "all 72 equations hold");
    });

    test("a syntax error names its line, and nothing is checked", async () => {
      const page = await live();
      await change(page, "variance = k", "variance = = k");
      await page.waitForSelector(".live-outcome .live-trouble");
      assert.match(await outcome(page), /q_posterior, line 3: invalid syntax/);
      assert.deepEqual(await reds(page), []);
      assert.match(await status(page), /not checked/);
      await checked(page, () => change(page, "= = k", "= k"));
      assert.equal(await status(page), "all 72 equations hold");
    });

    test("a loop without an end is reported; Python starts again without it", async () => {
      const page = await live();
      await unfold(page);
      const text = await source(page, POSTERIOR);
      await checked(page, () => change(page, ...BETA));
      await change(page, "variance = k", "while True: pass; variance = k");
      await page.waitForFunction(() => /for ever/.test(document.querySelector(".live-status").textContent),
        { timeout: 40_000 });
      await checked(page, () => pressButton(page, "Start Python again without it"));
      assert.equal(await source(page, POSTERIOR), text.replace(...BETA), "the change before it is still there");
      assert.deepEqual(await reds(page), ["6", "7"]);
      await checked(page, () => pressButton(page, "Undo all"));
      assert.deepEqual(await reds(page), []);
      assert.deepEqual(page.errors, []);
    });

    test("after a reload the page is live and the change is there", async () => {
      const page = await live();
      await checked(page, () => change(page, ...BETA));
      const text = await source(page, POSTERIOR);
      await checked(page, () => page.reload());
      assert.equal(await source(page, POSTERIOR), text);
      assert.deepEqual(await reds(page), ["6", "7"]);
    });

    test("a link carries the change, which runs when the button is pressed and not before", async () => {
      const page = await live();
      await checked(page, () => change(page, ...BETA));
      await page.evaluate(() => {
        Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => { window.copied = text; } } });
      });
      await pressButton(page, "Copy a link");
      await page.waitForFunction(() => window.copied);
      const other = await browser.page();
      await open(other, await page.evaluate(() => window.copied));
      await sleep(1500);
      assert.equal(await other.$eval(".live-start .live-button", (button) => button.textContent),
        "Make this page live, with the change in this link");
      assert.equal(await other.$(".live-dock"), null);
      assert.equal(await other.evaluate(() => performance.getEntriesByType("resource")
        .filter(({ name: address }) => /part-|page\.js/.test(address)).length), 0, "not even loaded");
      await checked(other, () => makeLive(other));
      assert.deepEqual(await reds(other), await reds(page));
      assert.match(await outcome(other), NUMBERS);
    });

    test("as a new reader, from opening the file to the first own mistake seen: under a minute", async (t) => {
      const page = await browser.page();
      const start = performance.now();
      await open(page, file());
      await sleep(5000); // reads the title and the sentence beside the button
      await makeLive(page);
      await sleep(2000); // sees the tiles
      await unfold(page);
      await sleep(5000); // reads the function
      await checked(page, () => change(page, ...BETA, POSTERIOR, 150));
      const seconds = (performance.now() - start) / 1000;
      t.diagnostic(`${name}: first own mistake seen after ${seconds.toFixed(1)} s, 12 s of them spent reading`);
      assert.ok(seconds < 60);
    });
  });
}
