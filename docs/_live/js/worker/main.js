/**
 * The worker: boots Python, then advances what it is asked for, item by item, the urgent first.
 *
 * Whoever opened it may hand it the ports of other pages, which ask in the same way.
 */
import { boot } from "./boot.js";
import { Unpacker } from "./unpack.js";

const calls = new Map(); // Python's number of a call -> {port, number, urgent}
const ports = new Set([self]);
const channel = new MessageChannel(); // a turn of the event loop without a timer's 4 ms
const unpacker = new Unpacker();
let calling;
let count = 0;
let turning = false;
let told = { stage: "starting Python", share: 0 }; // to all ports

channel.port1.onmessage = turn;

function wake() {
  if (!turning && calls.size) {
    turning = true;
    channel.port2.postMessage(0);
  }
}

/** Advance one call by one item: an urgent one, else each in its turn. */
function turn() {
  turning = false;
  const [id, call] = [...calls].find(([, { urgent }]) => urgent) ?? [...calls][0] ?? [];
  if (!id) return;
  calls.delete(id);
  calls.set(id, call); // at the end of the queue
  const { port, number } = call;
  try {
    const item = calling.advance(id);
    if (item === "") {
      calls.delete(id);
      port.postMessage({ number, done: true });
    } else {
      port.postMessage({ number, item: JSON.parse(item) });
    }
  } catch (error) {
    calls.delete(id);
    port.postMessage({ number, ...said(error) });
  }
  wake();
}

/** What went wrong: a reader's mistake in one line, or anything else with its traceback. */
function said(error) {
  const text = String(error.message ?? error).trim().replace(/\n+The module '[^]*$/, ""); // Pyodide's advice on loading
  const last = text.slice(text.lastIndexOf("\n") + 1);
  const mark = "ddpm_live.calls.Trouble: ";
  const at = text.lastIndexOf(mark);
  return at >= 0 ? { trouble: text.slice(at + mark.length) } : { error: last, traceback: text };
}

/** Tell all pages how far the start is, those that come later as well. */
function tell(news) {
  told = news;
  for (const port of ports) port.postMessage(news);
}

/** Forget calls of a page: one of them by its number, or all. */
function cancel(port, number) {
  for (const [id, call] of calls) {
    if (call.port === port && (number === undefined || call.number === number)) {
      calls.delete(id);
      calling.stop(id);
    }
  }
}

function hear(port, data) {
  if (data.connect) {
    const other = data.connect;
    ports.add(other);
    other.onmessage = (event) => hear(other, event.data);
    other.postMessage(told);
  } else if (data.leave) {
    cancel(port);
    ports.delete(port);
  } else if (data.cancel) {
    cancel(port, data.cancel);
  } else if (data.relax) {
    for (const call of calls.values()) if (call.port === port && call.number === data.relax) call.urgent = false;
  } else {
    count += 1;
    try {
      calling.start(count, data.name, data.args);
      calls.set(count, { port, number: data.ask, urgent: data.urgent });
      wake();
    } catch (error) {
      port.postMessage({ number: data.ask, ...said(error) });
    }
  }
}

self.onmessage = async ({ data }) => {
  if (data.part !== undefined) {
    unpacker.add(data.part);
  } else if (data.parts === "all") {
    try {
      calling = await boot(await unpacker.files(), (stage, share) => tell({ stage, share }));
      tell({ ready: true });
    } catch (error) {
      tell({ broken: String(error) });
    }
  } else {
    hear(self, data);
  }
};
