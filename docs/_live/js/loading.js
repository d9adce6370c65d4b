/** Scripts of the live part, loaded as classic scripts: a page that was opened as a file can load nothing else. */

const FOLDER = document.currentScript
  ? new URL(".", document.currentScript.src).href
  : window.DDPM_LIVE.folder;

window.DDPM_LIVE ??= { folder: FOLDER };

/**
 * @param {string} name - A script in the folder of the live part.
 * @returns {Promise<void>} Fulfilled once it has run.
 */
export function load(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = window.DDPM_LIVE.folder + name;
    script.onload = () => {
      script.remove();
      resolve();
    };
    script.onerror = () => reject(new Error(`${name} is missing`));
    document.head.append(script);
  });
}
