/** A call that takes a while: a reader starts it and stops it, and one runs at a time. */
export class Job {
  #session;
  #name;
  #told;
  #running;
  #timer;

  /**
   * @param {Session} session - Python in a worker.
   * @param {string} name - The call.
   * @param {object} told - `item(item)` is told each item; `ended()` that all have come; `failed(message)` why not.
   */
  constructor(session, name, told) {
    [this.#session, this.#name, this.#told] = [session, name, told];
  }

  /** Whether it runs, or is about to. */
  get busy() {
    return this.#running !== undefined || this.#timer !== undefined;
  }

  /**
   * Start anew with the given arguments.
   * @param {object} settings - The arguments of the call.
   * @param {number} [delay] - Milliseconds to wait for newer ones first, as while a slider moves.
   */
  start(settings, delay = 0) {
    this.stop();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#begin(settings);
    }, delay);
  }

  #begin(settings) {
    const running = this.#session.ask(this.#name, settings, (item) => {
      if (running === this.#running) this.#told.item(item);
    });
    this.#running = running;
    const end = (tell) => (result) => {
      if (running !== this.#running) return;
      this.#running = undefined;
      tell(result);
    };
    running.then(end(() => this.#told.ended()), end((error) => this.#told.failed(error.message)));
  }

  /** End it. Nothing is told after this. */
  stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#running?.cancel();
    this.#running = undefined;
  }
}
