/** Elements made in one line. */

/**
 * @param {string} name - The tag, with classes after dots: "button.live-tile.stale".
 * @param {object} [properties] - Properties of the element; those that it lacks become attributes.
 * @param {...(Node | string)} content
 * @returns {HTMLElement}
 */
export function make(name, properties = {}, ...content) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  element.classList.add(...classes);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...content);
  return element;
}

/** @returns {HTMLButtonElement} A button with a text and what it does. */
export function button(text, onclick, properties = {}) {
  return make("button.live-button", { type: "button", textContent: text, onclick, ...properties });
}
