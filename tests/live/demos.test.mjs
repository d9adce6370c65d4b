/** Every demonstration on every page: it draws, its controls have names, and it follows them by keyboard. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { pages } from "./book.mjs";
import { file, launched, missing } from "./browser.mjs";
import { makeLive, open, press } from "./reader.mjs";

const LONG = { timeout: 90_000 };

/** What a demonstration shows: its picture, on a canvas or as an element, and its numbers. */
const shows = (element) => [...element.querySelectorAll("canvas")].map((canvas) => canvas.toDataURL()).join()
  + element.querySelector(".demo-picture, .toy, .digits, .demo-static")?.innerHTML
  + [...element.querySelectorAll(".demo-numbers")].map((numbers) => numbers.textContent).join();

/** Wait until a demonstration shows something else. */
async function other(page, demo, before) {
  await page.evaluate(`window.shows = ${shows}`);
  await page.waitForFunction((element, shown) => window.shows(element) !== shown, LONG, demo, before);
}

async function settled(page, demo) {
  await page.waitForFunction((element) => {
    const progress = element.querySelector("progress");
    return (!progress || progress.hidden) && !element.classList.contains("demo-stale");
  }, LONG, demo);
}

for (const name of ["chromium", "firefox"]) {
  describe(name, { skip: missing(name) }, () => {
    let browser;

    before(async () => {
      browser = await launched(name);
    });
    after(async () => {
      await browser?.close();
    });

    const known = missing(name) ? new Map() : pages().live;
    for (const [address, kinds] of known) {
      if (!kinds.includes("live-demo")) continue;
      test(`${address}: each demonstration draws, is named, and follows its first slider`, async () => {
        const page = await browser.page();
        await open(page, file(address));
        await makeLive(page);
        const demos = await page.$$(".live-demo");
        for (const demo of demos) {
          const kind = await demo.evaluate((element) => element.dataset.demo);
          await demo.waitForSelector("input[type=range]");
          const nameless = await demo.$$eval("input, select, button", (fields) => fields
            .filter((field) => !(field.labels?.[0]?.textContent || field.textContent).trim()).map((field) => field.outerHTML));
          assert.deepEqual(nameless, [], kind);
          const start = await demo.$(".demo-buttons .live-button");
          const static_ = await demo.evaluate(shows);
          if (start) { // one that a reader starts
            await start.focus();
            await page.keyboard.press("Enter");
            await other(page, demo, static_);
          } else {
            await demo.waitForSelector(".demo-picture > *");
          }
          await settled(page, demo);
          const first = await demo.evaluate(shows);
          assert.ok(first.length > 100, `${kind} draws`);
          const slider = await demo.$("input[type=range]:enabled");
          await slider.focus();
          const value = await slider.evaluate((input) => input.getAttribute("aria-valuetext"));
          await press(page, "ArrowLeft");
          if (await slider.evaluate((input) => input.getAttribute("aria-valuetext")) === value) {
            await press(page, "ArrowRight");
          }
          assert.notEqual(await slider.evaluate((input) => input.getAttribute("aria-valuetext")), value, kind);
          if (start) await start.press("Enter");
          await other(page, demo, first);
          await settled(page, demo);
          assert.equal(await demo.$$eval(".demo-trouble", (notes) => notes.filter((note) => !note.hidden).length), 0, kind);
        }
        assert.deepEqual(page.errors, []);
        await page.close();
      });
    }
  });
}
