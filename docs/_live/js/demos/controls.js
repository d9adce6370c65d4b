/** The sliders and choices of a demonstration, and the asking that follows when one is moved. */

let made = 0; // fields so far, for ids

/**
 * A slider over numbers, with its label and value shown.
 * @param {string} name - The argument of the call that it sets.
 * @param {string} title - Its label.
 * @param {object} options - `values`: the numbers, or `from`, `to` and `step`; `shown`: a number as text.
 * @returns {object} A field for `panel`.
 */
export function slider(name, title, { values, from = 0, to = 1, step = 1, shown = String }) {
  const input = document.createElement("input");
  input.type = "range";
  [input.min, input.max, input.step] = values ? [0, values.length - 1, 1] : [from, to, step];
  const output = document.createElement("output");
  output.setAttribute("aria-live", "off"); // the slider itself tells its value
  const number = () => (values ? values[Number(input.value)] : Number(input.value));
  const told = () => {
    output.value = shown(number());
    input.setAttribute("aria-valuetext", shown(number()));
  };
  return {
    name, input, node: labelled(title, input, output), get: number, changed: told,
    set(value) {
      input.value = values ? nearest(values, value) : value;
      told();
    },
    /** Let the slider end at another number, such as the T of a t. */
    limit(most) {
      input.max = most;
      told();
    },
  };
}

/**
 * A choice among names.
 * @param {string} name - The argument of the call that it sets.
 * @param {string} title - Its label.
 * @param {Object<string, string>} options - The values with what they are called.
 * @returns {object} A field for `panel`.
 */
export function choice(name, title, options) {
  const input = document.createElement("select");
  for (const [value, text] of Object.entries(options)) input.append(new Option(text, value));
  return {
    name, input, node: labelled(title, input), get: () => input.value, changed() {},
    set(value) {
      input.value = value;
    },
  };
}

/**
 * Fields in a group, which tell each change.
 * @param {string} title - What they set, for a screen reader.
 * @param {object[]} fields - Made by `slider` and `choice`.
 * @param {object} settings - Where they begin, by name.
 * @param {(field: object) => void} onChange - Told which field was changed.
 * @returns {{node: Element, settings: () => object}} The group, and what is set.
 */
export function panel(title, fields, settings, onChange) {
  const node = document.createElement("div");
  node.className = "demo-controls";
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", title);
  for (const field of fields) {
    field.set(settings[field.name]);
    field.input.addEventListener("input", () => {
      field.changed();
      onChange(field);
    });
    node.append(field.node);
  }
  return { node, settings: () => Object.fromEntries(fields.map((field) => [field.name, field.get()])) };
}

/**
 * Ask a call again and again, the newest settings only: what was asked before is cancelled once it has shown
 * something, so that the picture follows a slider that does not rest.
 */
export class Asker {
  #session;
  #name;
  #shown;
  #failed;
  #running;
  #answered = true;
  #wish;
  #timer;

  /**
   * @param {Session} session - Python in a worker.
   * @param {string} name - The call.
   * @param {(item: object, first: boolean) => void} shown - Told each item.
   * @param {(message: string) => void} failed - Told why there is none.
   */
  constructor(session, name, shown, failed) {
    [this.#session, this.#name, this.#shown, this.#failed] = [session, name, shown, failed];
  }

  /** @param {object} settings - The arguments of the call. */
  ask(settings) {
    this.#wish = settings;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#next();
    }, 15);
  }

  #next() {
    if (!this.#wish || !this.#answered) return;
    this.#running?.cancel();
    const settings = this.#wish;
    this.#wish = undefined;
    this.#answered = false;
    const running = this.#session.ask(this.#name, settings, (item) => {
      if (running !== this.#running) return;
      this.#shown(item, !this.#answered);
      this.#done();
    });
    this.#running = running;
    running.then(() => this.#done(), (error) => {
      this.#failed(error.message);
      this.#done();
    });
  }

  #done() {
    this.#answered = true;
    if (this.#wish && !this.#timer) this.#next();
  }
}

function labelled(title, input, ...more) {
  const node = document.createElement("div");
  const label = document.createElement("label");
  input.id = `demo-field-${++made}`;
  label.htmlFor = input.id;
  label.textContent = title;
  for (const output of more) output.htmlFor = input.id;
  node.className = "demo-field";
  node.append(label, ...more, input);
  return node;
}

function nearest(values, value) {
  return values.reduce((best, other, i) => (Math.abs(other - value) < Math.abs(values[best] - value) ? i : best), 0);
}
