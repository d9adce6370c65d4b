/** What axe-core finds in the live part of a page, light and dark, and what a screen reader says of a tile. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { file, launched, missing } from "./browser.mjs";
import { change, checked, idle, makeLive, open, pressButton, unfold } from "./reader.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const BETA = ["k.beta_tilde", "k.beta"];
const PARTS = [".live-dock", ".live-code", ".live-demo", ".equation"];

/** Serious and critical findings in the live parts of a page. */
function barriers(page) {
  return page.evaluate(async (parts) => {
    const include = parts.filter((part) => document.querySelector(part)).map((part) => [part]);
    const { violations } = await window.axe.run({ include }, { resultTypes: ["violations"] });
    return violations.filter(({ impact }) => ["serious", "critical"].includes(impact)).flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 120)}: ${failureSummary.split("\n")[1]}`));
  }, PARTS);
}

describe("chromium", { skip: missing("chromium") }, () => {
  let browser;
  let page;

  before(async () => {
    browser = await launched("chromium");
    page = await browser.page();
    await open(page, file());
    await makeLive(page);
    await idle(page);
    await unfold(page);
    await page.evaluate(AXE);
  });
  after(async () => {
    await browser?.close();
  });

  for (const theme of ["light", "dark"]) {
    test(`${theme}: no serious barrier while all is green, nor with a mistake, in any panel`, async () => {
      await page.evaluate((wanted) => { document.documentElement.dataset.theme = wanted; }, theme);
      const found = [...await barriers(page)];
      await checked(page, () => change(page, ...BETA));
      const toggles = await page.$$(".live-dock [aria-controls^=live-panel]");
      assert.ok(toggles.length >= 3);
      for (const toggle of toggles) {
        await toggle.click();
        found.push(...await barriers(page));
      }
      const mistake = (await page.$$("#live-panel-mistakes .live-choices button")).at(-1); // of another function
      await mistake.click(); // its question
      found.push(...await barriers(page));
      await pressButton(page, "Another mistake");
      await toggles.at(-1).click(); // folds the panel, which may lie over the editor
      await checked(page, () => pressButton(page, "Undo"));
      assert.deepEqual([...new Set(found)], []);
    });
  }

  test("each tile's name says number, title and verdict", async () => {
    await checked(page, () => change(page, ...BETA));
    const names = await page.$$eval(".live-tile", (tiles) => tiles.map((tile) =>
      [tile.textContent, tile.dataset.verdict, tile.getAttribute("aria-label")]));
    const titles = await page.evaluate(() => Object.fromEntries(window.DDPM_LIVE.book.equations
      .map(({ id, title }) => [id, title])));
    assert.ok(names.length > Object.keys(titles).length);
    for (const [id, verdict, label] of names) {
      const said = `Equation ${id}, ${titles[id]}: ${verdict === "PASS" ? "holds" : "fails"}`;
      assert.ok(label.startsWith(said), `${label} does not begin with ${said}`);
    }
    assert.equal(names.filter(([, verdict]) => verdict === "FAIL").length, 4, "(6) and (7), in the row and in the panel");
  });
});
