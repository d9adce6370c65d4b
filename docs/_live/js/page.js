/** A live page: Python, the editors, the dock, and all that follows from a change. */
import { Blocks, sources } from "./blocks.js";
import { Changes } from "./changes.js";
import { Checks } from "./checks.js";
import { mount as mountCourse } from "./course.js";
import { mountAll } from "./demos/all.js";
import { Dock } from "./dock.js";
import { button } from "./dom.js";
import { editor } from "./editor.js";
import { askAgain, host } from "./host.js";
import { carried, changesIn, dropCarried } from "./link.js";
import { load } from "./loading.js";
import { markBoxes } from "./marks.js";
import { Mistakes } from "./mistakes.js";
import { openAgain, opened } from "./python.js";
import { kept } from "./storage.js";
import { Verdicts } from "./verdicts.js";

/** The book's data, with addresses of equations and lines as seen from this page. */
function bookOf(data) {
  const root = document.documentElement.dataset.content_root ?? "./";
  const here = document.querySelector('meta[name="book-page"]').content;
  return { ...data, address: ({ page, anchor }) => (page === here ? "" : `${root}${page}.html`) + `#${anchor}` };
}

/** What this page shows: the ids of its equations and lines, and the sources of its functions. */
function shown(book) {
  const on = (kind) => new Set([...document.querySelectorAll(`.${kind}[id]`)].map((element) => element.id));
  const equations = on("equation");
  const lines = on("relation");
  return {
    equations: book.equations.filter(({ anchor }) => equations.has(anchor)).map(({ id }) => id),
    lines: Object.keys(book.lines).filter((id) => lines.has(book.lines[id].anchor)),
    originals: sources(),
  };
}

/** The changes that came with a link; the reader has pressed the button. */
async function takeCarried(changes, dock) {
  if (!carried()) return;
  try {
    changes.replace(await changesIn(carried()));
  } catch {
    dock.say("The link carries no change that can be read.", "red");
  }
  dropCarried();
}

/**
 * Python that can be started again, after a change that never ends: by this page, or by the page around it.
 * @returns {Session}
 */
function python(page, checks, port) {
  const { dock, changes } = page;
  const onStage = (stage, share) => dock.starting(stage, share);
  const session = opened(onStage, port);
  const openOwn = () => openAgain(session, onStage);
  const follow = (take) => {
    checks.stop();
    take();
    session.ready.then(() => {
      if (JSON.stringify(changes.all) === JSON.stringify(checks.sound)) checks.run();
      else changes.replace(checks.sound);
    }, (error) => dock.say(`Python could not be started: ${error.message}`, "red"));
  };
  const again = button("Start Python again without it", () => {
    again.hidden = true;
    if (port) askAgain();
    else follow(openOwn);
  }, { hidden: true });
  dock.status.after(again);
  checks.addEventListener("answers", () => { again.hidden = true; });
  checks.addEventListener("silent", () => {
    dock.say("Python does not answer: this change seems to run for ever.", "red");
    again.hidden = false;
  });
  window.DDPM_LIVE.take = (given) => follow(() => session.take(given));
  if (port) window.addEventListener("pagehide", () => session.leave());
  else host(session, { onReturn: () => changes.replace(kept.changes() ?? {}), onAgain: openOwn });
  return session;
}

async function start(bar, port) {
  kept.keepLive(true);
  await load("book.js");
  const book = bookOf(window.DDPM_LIVE.book);
  const { equations, lines, originals } = shown(book);
  const changes = new Changes(originals);
  const verdicts = new Verdicts(book.equations);
  let mistakes = null;
  const dock = new Dock(book, verdicts, changes, {
    equations,
    onTile: (id) => Boolean(mistakes?.guessing) && (mistakes.toggle(id), true),
  });
  bar.remove();
  markBoxes(book, verdicts);

  const page = { book, verdicts, changes, dock, equations, lines };
  const checks = new Checks(page);
  const run = () => checks.run();
  page.blocks = new Blocks(changes, { onTyping: () => checks.stop(), onSame: run });
  page.session = python(page, checks, port);
  Object.assign(window.DDPM_LIVE, { book, session: page.session }); // for whoever asks Python from outside, as tests do
  const known = book.mistakes.filter(({ place }) => originals.has(place));
  if (known.length) {
    mistakes = new Mistakes(known, changes,
      { equations, tile: dock.own.tile, reveal: (name) => page.blocks.reveal(name) });
    dock.panel("mistakes", "Plant a mistake", mistakes.element);
    checks.addEventListener("end", () => mistakes.judge(verdicts.red));
  }
  await takeCarried(changes, dock);
  try {
    await page.session.ready;
  } catch (error) {
    dock.say(`Python could not be started: ${error.message}`, "red");
    return;
  }
  const demos = mountAll(page.session);
  checks.addEventListener("own", () => demos.refresh());
  for (const course of document.querySelectorAll(".live-course")) mountCourse(course, page.session, { editor });
  document.body.dataset.liveReady = "yes";
  if (!originals.size && !equations.length && !Object.keys(changes.all).length) { // a demonstration, or the course
    dock.element.remove();
    return;
  }
  changes.addEventListener("change", run);
  run(); // of the package as it is, too: the page shows what was checked here, and the next check finds Python warm
}

window.DDPM_LIVE.start = start;
