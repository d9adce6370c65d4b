/** Python in a worker: what it is asked, and what it answers. */

/** An error that Python reported in one line for the reader. */
export class Trouble extends Error {}

/**
 * A worker with Python in it. Answers come item by item; see ddpm_live/calls.py.
 */
export class Session {
  #worker = null;
  #onStage;
  #asked = new Map();
  #next = 1;

  /**
   * @param {Worker | MessagePort} worker - A worker that runs worker/main.js, or a port to one.
   * @param {(stage: string, share: number) => void} onStage - Told how far the start is; share is 0..1.
   */
  constructor(worker, onStage) {
    this.#onStage = onStage;
    this.take(worker);
  }

  /** Ask this worker from now on. One before it ends, even in the middle of something; what it was asked fails. */
  take(worker) {
    this.#worker?.terminate?.();
    for (const { reject } of this.#asked.values()) reject(new Error("it was started again"));
    this.#asked.clear();
    this.#worker = worker;
    this.ready = new Promise((resolve, reject) => {
      this.fail = reject;
      worker.onmessage = ({ data }) => {
        if (data.stage) this.#onStage(data.stage, data.share);
        else if (data.ready) resolve();
        else if (data.broken) reject(new Error(data.broken));
        else this.#answer(data);
      };
      worker.onerror = (event) => reject(new Error(event.message || "the worker could not start"));
    });
  }

  #answer({ number, item, done, trouble, error }) {
    const asked = this.#asked.get(number);
    if (!asked) return;
    if (item) {
      asked.last = item;
      asked.onItem(item);
      return;
    }
    this.#asked.delete(number);
    if (done) asked.resolve(asked.last);
    else asked.reject(trouble ? new Trouble(trouble) : new Error(error));
  }

  /** Post a message once Python is ready, if it is still wanted then. */
  #send(message, wanted = () => true) {
    this.ready.then(() => wanted() && this.#worker.postMessage(message), () => {});
  }

  /**
   * Ask Python for something by name.
   * @param {string} name - A call registered in ddpm_live.
   * @param {object} args - Its arguments.
   * @param {(item: object) => void} [onItem] - Told each item as it comes.
   * @param {{urgent?: boolean}} [options] - Urgent calls overtake others between two items.
   * @returns {Promise<object> & {cancel: () => void, relax: () => void}} The last item; it rejects with Trouble for a
   *   reader's mistake. After cancel() it never settles, and no more items come; after relax() it is no longer urgent.
   */
  ask(name, args, onItem = () => {}, { urgent = false } = {}) {
    const number = this.#next++;
    const promise = new Promise((resolve, reject) => {
      this.#asked.set(number, { onItem, resolve, reject, last: undefined });
    });
    this.#send({ ask: number, name, args: JSON.stringify(args), urgent }, () => this.#asked.has(number));
    promise.relax = () => this.#send({ relax: number });
    promise.cancel = () => {
      if (this.#asked.delete(number)) this.#send({ cancel: number });
    };
    return promise;
  }

  /** @param {MessagePort} port - Of another page, which asks the same Python. */
  connect(port) {
    this.#worker.postMessage({ connect: port }, [port]);
  }

  /** This page goes: Python forgets what it was asked here. */
  leave() {
    this.#worker.postMessage({ leave: true });
  }
}
