/** What a reader does on a page, with real keys and clicks, and what a reader sees. */
import assert from "node:assert/strict";

const LONG = { timeout: 60_000 };
export const POSTERIOR = "diffusion.posterior.q_posterior";

export const sleep = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

/** Open a page and wait until it is shown. */
export async function open(page, address) {
  await page.goto(address, { waitUntil: "load", timeout: 60_000 });
}

/** Wait until Python answers. */
export async function ready(page) {
  await page.waitForFunction(() => document.body.dataset.liveReady === "yes", LONG);
}

/** Press the button and wait until the page is live; returns how many milliseconds that took. */
export async function makeLive(page) {
  const start = performance.now();
  await page.click(".live-start .live-button");
  await ready(page);
  return performance.now() - start;
}

const block = (name) => `.live-code[data-function="${name}"]`;

/** @returns {Promise<string>} What an editor holds. */
export function source(page, name) {
  return page.$eval(`${block(name)} .cm-content`, (element) =>
    [...element.querySelectorAll(".cm-line")].map((line) => line.textContent).join("\n"));
}

/** Press a key several times. */
export async function press(page, key, times = 1) {
  for (let i = 0; i < times; i++) await page.keyboard.press(key);
}

/** In the editor that has the focus: select a text by keys and type another. */
export async function replace(page, text, old, now, delay = 0) {
  const at = text.indexOf(old);
  assert.ok(at >= 0, `${JSON.stringify(old)} is in ${text}`);
  const before = text.slice(0, at).split("\n");
  await page.keyboard.down("Control");
  await page.keyboard.press("Home");
  await page.keyboard.up("Control");
  await press(page, "ArrowDown", before.length - 1);
  await press(page, "ArrowRight", before.at(-1).length);
  await page.keyboard.down("Shift");
  await press(page, "ArrowRight", old.length);
  await page.keyboard.up("Shift");
  await page.keyboard.type(now, { delay });
}

/**
 * Press Tab until an element has the focus.
 * @param {string} selector - What is looked for.
 * @param {string} [within] - The element must be the fold's summary of what this selects.
 * @param {number} [most] - How often to press.
 */
export async function tabTo(page, selector, within, most = 400) {
  for (let i = 0; i < most; i++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((wanted, inside) => document.activeElement.matches(wanted)
      && (!inside || document.activeElement.parentElement.querySelector(inside) !== null), selector, within)) return;
  }
  throw new Error(`Tab does not lead to ${selector}`);
}

/** Unfold what the editor of a function is folded in. */
export async function unfold(page, name = POSTERIOR) {
  for (;;) {
    const summary = await page.evaluateHandle((selector) => {
      const folds = [];
      for (let at = document.querySelector(selector); at; at = at.parentElement) {
        if (at.tagName === "DETAILS" && !at.open) folds.push(at);
      }
      return folds.at(-1)?.querySelector("summary") ?? null;
    }, block(name));
    if (!summary.asElement()) return;
    await summary.click();
  }
}

/** Change a function: click into its editor, then keys alone. */
export async function change(page, old, now, name = POSTERIOR, delay = 0) {
  await unfold(page, name);
  await page.click(`${block(name)} .cm-content`);
  assert.ok(await page.evaluate((selector) => document.activeElement.closest(selector) !== null, block(name)),
    `a click opens the editor of ${name}`);
  await replace(page, await source(page, name), old, now, delay);
}

/** Do something that has the equations checked, and wait for the end of the check. */
export async function checked(page, action) {
  await action();
  await sleep(400); // the page waits 250 ms for further keys
  await idle(page);
}

/** Wait until a check has ended and none runs. */
export async function idle(page) {
  await page.waitForFunction(() => document.body.dataset.liveChecks && !document.querySelector(".live-tile.stale"), LONG);
}

/** Press a button of the dock by its text. */
export async function pressButton(page, text) {
  const buttons = await page.$$(".live-dock button");
  for (const button of buttons) {
    if (await button.evaluate((element, wanted) => element.textContent.trim() === wanted && element.checkVisibility(),
      text)) return button.click();
  }
  throw new Error(`the dock has no button ${JSON.stringify(text)}`);
}

/** @returns {Promise<string[]>} The ids of all red equations. */
export async function reds(page) {
  return page.$$eval("#live-panel-all .live-tile", (tiles) =>
    tiles.filter((tile) => tile.dataset.verdict !== "PASS").map((tile) => tile.textContent));
}

/** @returns {Promise<string>} What stands under the editor of a function. */
export function outcome(page, name = POSTERIOR) {
  return page.$eval(`${block(name)} .live-outcome`, (element) => element.textContent);
}

/** How many equations the book has. */
export function count(page) {
  return page.$$eval("#live-panel-all .live-tile", (tiles) => tiles.length);
}

export function status(page) {
  return page.$eval(".live-status", (element) => element.textContent);
}
