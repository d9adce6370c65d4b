/** What a reader's browser keeps: the changes, the score, the course's answers, and whether pages are live. A browser may refuse to. */

const CHANGES = "ddpm-live-changes";
const SCORE = "ddpm-live-score";
const COURSE = "ddpm-live-course";
const LIVE = "ddpm-live";

function read(store, key) {
  try {
    return JSON.parse(store().getItem(key));
  } catch {
    return null;
  }
}

function write(store, key, value) {
  try {
    if (value === null) store().removeItem(key);
    else store().setItem(key, JSON.stringify(value));
  } catch {
    // a private window, or full: the page works without
  }
}

const local = () => window.localStorage;
const session = () => window.sessionStorage;

export const kept = {
  /** @returns {Object<string, string> | null} The source of each changed function, by name. */
  changes: () => read(local, CHANGES),
  keepChanges: (changes) => write(local, CHANGES, Object.keys(changes).length ? changes : null),
  /** @returns {{rounds: number, found: number, missed: number, vain: number}} */
  score: () => read(local, SCORE) ?? { rounds: 0, found: 0, missed: 0, vain: 0 },
  keepScore: (score) => write(local, SCORE, score),
  /** @returns {Object<string, string>} The source of each gap of the course that was filled, by method. */
  course: () => read(local, COURSE) ?? {},
  keepCourse: (answers) => write(local, COURSE, Object.keys(answers).length ? answers : null),
  /** @returns {boolean} Whether the pages of this tab are live. */
  live: () => read(session, LIVE) === true,
  keepLive: (live) => write(session, LIVE, live || null),
};
