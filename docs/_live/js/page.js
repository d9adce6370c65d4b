/** A live page: Python, the editors, the dock, and all that follows from a change. */
import { Blocks, sources } from "./blocks.js";
import { Changes } from "./changes.js";
import { mount as mountCourse } from "./course.js";
import { mountAll } from "./demos/all.js";
import { Dock } from "./dock.js";
import { make } from "./dom.js";
import { editor } from "./editor.js";
import { failures } from "./failures.js";
import { host } from "./host.js";
import { carried, changesIn, dropCarried } from "./link.js";
import { load } from "./loading.js";
import { markBoxes } from "./marks.js";
import { Mistakes } from "./mistakes.js";
import { opened } from "./python.js";
import { Trouble } from "./session.js";
import { kept } from "./storage.js";
import { Verdicts } from "./verdicts.js";

const PATIENCE = 15_000; // milliseconds without an answer before a check counts as endless

/** The book's data, with addresses of equations and lines as seen from this page. */
function bookOf(data) {
  const root = document.documentElement.dataset.content_root ?? "./";
  const here = document.querySelector('meta[name="book-page"]').content;
  return { ...data, address: ({ page, anchor }) => (page === here ? "" : `${root}${page}.html`) + `#${anchor}` };
}

function idsOnPage(kind) {
  return [...document.querySelectorAll(`.${kind}[id]`)].map((element) => element.id);
}

async function start(bar, port) {
  kept.keepLive(true);
  await load("book.js");
  const book = bookOf(window.DDPM_LIVE.book);
  const anchors = new Set(idsOnPage("equation"));
  const equations = book.equations.filter(({ anchor }) => anchors.has(anchor)).map(({ id }) => id);
  const lineAnchors = new Set(idsOnPage("relation"));
  const lines = Object.keys(book.lines).filter((id) => lineAnchors.has(book.lines[id].anchor));
  const originals = sources();
  const changes = new Changes(originals);
  const verdicts = new Verdicts(book.equations);
  let mistakes = null;
  const dock = new Dock(book, verdicts, changes, {
    equations,
    onTile: (id) => Boolean(mistakes?.guessing) && (mistakes.toggle(id), true),
  });
  bar.remove();
  markBoxes(book, verdicts);

  let running = null;
  const session = opened((stage, share) => dock.starting(stage, share), port);
  if (port) window.addEventListener("pagehide", () => session.leave());
  else host(session, () => changes.replace(kept.changes() ?? {}));
  const blocks = new Blocks(changes, { onTyping: () => running?.cancel() });
  const known = book.mistakes.filter(({ place }) => originals.has(place));
  if (known.length) {
    mistakes = new Mistakes(known, changes,
      { equations, tile: dock.own.tile, reveal: (name) => blocks.reveal(name) });
    dock.panel("mistakes", "Plant a mistake", mistakes.element);
  }
  if (carried()) {
    changes.replace(await changesIn(carried()));
    dropCarried();
  }
  try {
    await session.ready;
  } catch (error) {
    dock.say(`Python could not be started: ${error.message}`, "red");
    return;
  }
  const demos = mountAll(session);
  for (const course of document.querySelectorAll(".live-course")) mountCourse(course, session, { editor });

  async function check() {
    running?.cancel();
    blocks.show(() => make("p", { textContent: "checking …" }));
    let patience;
    const wait = () => {
      clearTimeout(patience);
      patience = setTimeout(() => dock.say("This change seems to run for ever. Undo it and load the page again.", "red"),
        PATIENCE);
    };
    wait();
    verdicts.begin();
    const asked = session.ask("check", { changes: changes.all, first: equations, lines }, (item) => {
      wait();
      verdicts.take(item);
      if (item.equation && item.verdict !== "PASS") {
        blocks.show(() => failures(book, verdicts, equations, 6));
        window.performance.mark("live-red");
      }
    }, { urgent: true });
    running = asked;
    try {
      await asked;
      blocks.show(() => (verdicts.red.length || verdicts.broken.length ? failures(book, verdicts, equations, 6)
        : make("p.live-fine", { textContent: `all ${verdicts.count} equations still hold` })));
      mistakes?.judge(verdicts.red);
      demos.refresh();
    } catch (error) {
      const text = error instanceof Trouble ? error.message : `Python stopped: ${error.message}`;
      blocks.show(() => make("p.live-trouble", { role: "alert", textContent: text }));
      dock.say("not checked: the change is no Python yet", "red");
    } finally {
      clearTimeout(patience);
      document.body.dataset.liveChecks = Number(document.body.dataset.liveChecks ?? 0) + 1;
    }
  }

  changes.addEventListener("change", check);
  document.body.dataset.liveReady = "yes";
  check(); // of the package as it is, too: the page shows what was checked here, and the next check finds Python warm
}

window.DDPM_LIVE.start = start;
