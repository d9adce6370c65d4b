/** Every page that can be live, made live on a phone: nothing is wider than the window. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { pages } from "./book.mjs";
import { file, launched, missing } from "./browser.mjs";
import { makeLive, open } from "./reader.mjs";

const WIDTH = 390;

/** How wide the page is, with everything unfolded and each panel of the dock open in turn. */
function widths(page) {
  return page.evaluate(() => {
    for (const fold of document.querySelectorAll("article details")) fold.open = true;
    const found = [["page", document.documentElement.scrollWidth]];
    for (const toggle of document.querySelectorAll(".live-dock [aria-controls^=live-panel]")) {
      toggle.click();
      found.push([toggle.textContent, document.documentElement.scrollWidth]);
    }
    const dock = document.querySelector(".live-dock");
    if (dock) found.push(["dock", Math.ceil(dock.scrollWidth)]);
    return found;
  });
}

describe("chromium", { skip: missing("chromium") }, () => {
  let browser;

  before(async () => {
    browser = await launched("chromium");
  });
  after(async () => {
    await browser?.close();
  });

  for (const name of missing("chromium") ? [] : pages().live.keys()) {
    test(`${name}: no sideways scroll at ${WIDTH} pixels`, async () => {
      const page = await browser.page({ width: WIDTH, height: 844 });
      await open(page, file(name));
      await makeLive(page);
      for (const [what, width] of await widths(page)) assert.ok(width <= WIDTH, `${what}: ${width} pixels`);
      assert.deepEqual(page.errors, []);
      await page.close();
    });
  }
});
