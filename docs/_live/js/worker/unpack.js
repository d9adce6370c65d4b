/** The pack: gzip in base64, in parts; inside, files one after another behind a JSON index. */

/** Reads the parts as they come, so that they are unpacked while the next ones load. */
export class Unpacker {
  #writer;
  #bytes;

  constructor() {
    const { readable, writable } = new DecompressionStream("gzip");
    this.#writer = writable.getWriter();
    this.#bytes = new Response(readable).arrayBuffer();
  }

  /** @param {string} part - The next part, base64 of a whole number of bytes. */
  add(part) {
    this.#writer.write(bytesOf(part));
  }

  /** @returns {Promise<Map<string, Uint8Array>>} The files, by name, once all parts were added. */
  async files() {
    this.#writer.close();
    return listed(new Uint8Array(await this.#bytes));
  }
}

function bytesOf(part) {
  const text = atob(part);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/**
 * @param {Uint8Array} bytes - Four bytes, little-endian: the length of the index; the index, JSON: [[name, size], …];
 *   then the files.
 * @returns {Map<string, Uint8Array>} The files by name, views of `bytes`.
 */
export function listed(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const index = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const files = new Map();
  let at = 4 + length;
  for (const [name, size] of index) {
    files.set(name, bytes.subarray(at, at + size));
    at += size;
  }
  return files;
}
