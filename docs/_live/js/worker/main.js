/** The worker: boots Python, then advances what it is asked for, item by item, the urgent first. */
import { boot } from "./boot.js";
import { Unpacker } from "./unpack.js";

const calls = new Map(); // number -> urgent
const channel = new MessageChannel(); // a turn of the event loop without a timer's 4 ms
const unpacker = new Unpacker();
let calling;
let turning = false;

channel.port1.onmessage = turn;

function wake() {
  if (!turning && calls.size) {
    turning = true;
    channel.port2.postMessage(0);
  }
}

/** Advance one call by one item. */
function turn() {
  turning = false;
  const number = [...calls].reduce((best, next) => (next[1] >= best[1] ? next : best), [0, false])[0];
  if (!calls.has(number)) return;
  try {
    const item = calling.advance(number);
    if (item === "") {
      calls.delete(number);
      postMessage({ number, done: true });
    } else {
      postMessage({ number, item: JSON.parse(item) });
    }
  } catch (error) {
    calls.delete(number);
    postMessage({ number, ...told(error) });
  }
  wake();
}

/** What went wrong: a reader's mistake in one line, or anything else with its traceback. */
function told(error) {
  const text = String(error.message ?? error).trim();
  const last = text.slice(text.lastIndexOf("\n") + 1);
  const mark = "ddpm_live.calls.Trouble: ";
  const at = text.lastIndexOf(mark);
  return at >= 0 ? { trouble: text.slice(at + mark.length) } : { error: last, traceback: text };
}

onmessage = async ({ data }) => {
  if (data.part !== undefined) {
    unpacker.add(data.part);
  } else if (data.parts === "all") {
    try {
      calling = await boot(await unpacker.files(), (stage, share) => postMessage({ stage, share }));
      postMessage({ ready: true });
    } catch (error) {
      postMessage({ broken: String(error) });
    }
  } else if (data.cancel) {
    calls.delete(data.cancel);
    calling.stop(data.cancel);
  } else {
    try {
      calling.start(data.ask, data.name, data.args);
      calls.set(data.ask, data.urgent);
      wake();
    } catch (error) {
      postMessage({ number: data.ask, ...told(error) });
    }
  }
};
