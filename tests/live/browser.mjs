/** Browsers without a network, the built book on 127.0.0.1 and as files, and a record of every request that leaves. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const BOOK = path.join(ROOT, "build", "docs");
export const HOME = "derivations/posterior.html"; // the page that most tests open

const NAMES = { chromium: ["chromium", "chromium-browser", "google-chrome"], firefox: ["firefox-esr", "firefox"] };
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml",
  ".png": "image/png", ".woff2": "font/woff2", ".json": "application/json" };

function found(names) {
  for (const folder of process.env.PATH.split(path.delimiter)) {
    for (const name of names) if (existsSync(path.join(folder, name))) return path.join(folder, name);
  }
  return "";
}

/** The browsers that are on the PATH, by name. */
export const BROWSERS = Object.fromEntries(Object.entries(NAMES).map(([name, names]) => [name, found(names)])
  .filter(([, program]) => program));

// Where browsers themselves look for updates, in spite of all options; the book names none of these.
const OWN = /^(https?:\/\/)?[\w.-]+\.(google|googleapis|gstatic|mozilla|firefox)\.(com|net|org)[:/]/;

/** @returns {string | false} Why the live book cannot be tested with a browser here; false if it can. */
export function missing(name) {
  if (!existsSync(path.join(BOOK, "_static", "live", "part-01.js"))) return "build/docs has no live part";
  return BROWSERS[name] ? false : `there is no ${NAMES[name].join(" or ")} on the PATH`;
}

/** @returns {string} The address of a page of the book as a file. */
export function file(page = HOME) {
  return pathToFileURL(path.join(BOOK, page)).href;
}

async function listening(server) {
  await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  return server.address().port;
}

/** Serve the book as any static server does; returns how to address a page, what was asked for, and how to end. */
export async function served() {
  const asked = [];
  const server = http.createServer(async ({ url }, answer) => {
    const name = decodeURIComponent(new URL(url, "http://book").pathname);
    asked.push(name);
    try {
      const content = await readFile(path.join(BOOK, path.normalize(name)));
      answer.writeHead(200, { "content-type": TYPES[path.extname(name)] ?? "application/octet-stream" }).end(content);
    } catch {
      answer.writeHead(404).end();
    }
  });
  const root = `http://127.0.0.1:${await listening(server)}/`;
  return { root, asked, address: (page = HOME) => root + page, close: () => server.close() };
}

/** A proxy that lets nothing through and records who was asked for: what a browser sends anywhere comes here. */
async function wall() {
  const asked = [];
  const server = http.createServer(({ url }, answer) => {
    asked.push(url);
    answer.writeHead(502).end();
  });
  server.on("connect", ({ url }, socket) => {
    asked.push(url);
    socket.destroy();
  });
  return { asked, port: await listening(server), close: () => server.close() };
}

function options(name, port) {
  if (name === "chromium") {
    return { args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
      `--proxy-server=127.0.0.1:${port}`] };
  }
  return { extraPrefsFirefox: {
    "network.proxy.type": 1, "network.proxy.http": "127.0.0.1", "network.proxy.http_port": port,
    "network.proxy.ssl": "127.0.0.1", "network.proxy.ssl_port": port, "network.proxy.no_proxies_on": "127.0.0.1",
    "network.proxy.failover_direct": false, "network.dns.disabled": true, "network.captive-portal-service.enabled": false,
    "network.connectivity-service.enabled": false } };
}

/**
 * Start a browser that reaches 127.0.0.1 and nothing else.
 * @param {string} name - "chromium" or "firefox".
 * @returns {Promise<object>} `browser`: puppeteer's; `left()`: the addresses of all requests that wanted to leave;
 *   `page(options)`: a new page in storage of its own, with `errors`, what its console complains of; `close()`.
 */
export async function launched(name) {
  const proxy = await wall();
  const browser = await puppeteer.launch({ browser: name === "firefox" ? "firefox" : "chrome", headless: true,
    executablePath: BROWSERS[name], protocolTimeout: 120_000, ...options(name, proxy.port) });
  return {
    name, browser,
    left: () => proxy.asked.filter((address) => !OWN.test(address)),
    async page({ width = 1200, height = 900 } = {}) {
      const page = await (await browser.createBrowserContext()).newPage();
      await page.setViewport({ width, height });
      page.errors = [];
      page.on("console", (message) => {
        const from = message.location().url ?? "";
        // The theme complains of a reader who has chosen neither dark nor light yet; the book has no favicon; Firefox
        // counts the children of MathML of which it has read a part only.
        const known = from.endsWith("/favicon.ico") || from.includes("/scripts/pydata-sphinx-theme.js");
        if (message.type() === "error" && !known) page.errors.push(message.text());
      });
      page.on("pageerror", (error) => {
        if (!String(error).includes("Invalid markup: Incorrect number of children")) page.errors.push(String(error));
      });
      return page;
    },
    async close() {
      await browser.close();
      proxy.close();
    },
  };
}
