/** A machine that is four times slower: Chromium's processes of pages run a quarter of the time. */
import { sleep } from "./reader.mjs";

const PERIOD = 40; // milliseconds

/**
 * Chromium's own throttle slows a page's thread and not its workers, where Python runs. So the processes are stopped and
 * continued by signals, with all their threads.
 * @param {object} browser - What `launched` returned.
 * @param {number} share - The part of the time in which they run.
 * @returns {Promise<() => number>} Ends it, and returns the part of the time in which they ran.
 */
export async function slowed(browser, share) {
  const client = await browser.browser.target().createCDPSession();
  const { processInfo } = await client.send("SystemInfo.getProcessInfo");
  const pids = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
  const tell = (signal) => {
    for (const pid of pids) {
      try {
        process.kill(pid, signal);
      } catch (error) {
        if (error.code !== "ESRCH") throw error; // it has ended
      }
    }
  };
  const start = performance.now();
  let ran = 0;
  let ended = false;
  const turns = (async () => {
    while (!ended) {
      tell("SIGSTOP");
      await sleep(PERIOD * (1 - share));
      tell("SIGCONT");
      const since = performance.now();
      await sleep(PERIOD * share);
      ran += performance.now() - since;
    }
  })();
  return async () => {
    ended = true;
    await turns;
    return ran / (performance.now() - start);
  };
}
