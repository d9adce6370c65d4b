/** Small grey pictures in a grid, each a canvas with large pixels. */

export class Tiles {
  #canvases = [];
  #choose;

  /** @param {(number: number) => void} [choose] - Makes each picture a button; told the number of the chosen one. */
  constructor(choose) {
    this.#choose = choose;
    this.node = document.createElement("div");
    this.node.className = "digits-tiles";
    this.node.setAttribute("role", choose ? "group" : "img");
    if (choose) this.node.setAttribute("aria-label", "x̂₀ of each digit: choose one to see its way");
  }

  /**
   * @param {number[][]} images - Bytes 0..255, row by row.
   * @param {[number, number]} size - Height and width of each.
   */
  show(images, [height, width]) {
    if (this.#canvases.length !== images.length) this.#make(images.length, width, height);
    images.forEach((image, i) => {
      this.#canvases[i].getContext("2d").putImageData(grey(image, width, height), 0, 0);
    });
  }

  #make(count, width, height) {
    this.#canvases = Array.from({ length: count }, () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [width, height];
      return canvas;
    });
    this.node.replaceChildren(...this.#canvases.map((canvas, i) => (this.#choose ? this.#button(canvas, i) : canvas)));
  }

  #button(canvas, number) {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", `digit ${number + 1}`);
    button.addEventListener("click", () => this.#choose(number));
    button.append(canvas);
    return button;
  }

  /** Say what the pictures show. */
  describe(label) {
    this.node.setAttribute("aria-label", label);
  }

  /** Mark the chosen picture. */
  press(number) {
    [...this.node.children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === number)));
  }
}

/** @returns {ImageData} Bytes as shades of grey. */
export function grey(bytes, width, height) {
  const data = new Uint8ClampedArray(4 * bytes.length);
  bytes.forEach((byte, i) => data.set([byte, byte, byte, 255], 4 * i));
  return new ImageData(data, width, height);
}
