/** A code editor: CodeMirror with Python, the keys that everyone knows, and the page's own colours. */
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";

const EXTENSIONS = [
  history(), indentOnInput(), bracketMatching(), indentUnit.of("    "), python(), syntaxHighlighting(classHighlighter),
  keymap.of([...defaultKeymap, ...historyKeymap]), // not Tab, which leaves the editor
];

/**
 * @param {HTMLElement} parent - Where it goes.
 * @param {{text: string, label: string, onChange: (text: string) => void}} options - The label is for screen readers;
 *   onChange is told what the reader types, not what setText sets.
 * @returns {{text: string, setText: (text: string) => void, destroy: () => void}}
 */
export function editor(parent, { text, label, onChange }) {
  let quiet = false;
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        ...EXTENSIONS,
        EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false", tabindex: "0" }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged && !quiet) onChange(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    get text() {
      return view.state.doc.toString();
    },
    setText(next) {
      const now = view.state.doc.toString();
      if (next === now) return;
      let start = 0;
      while (start < Math.min(now.length, next.length) && now[start] === next[start]) start++;
      let end = 0;
      while (end < Math.min(now.length, next.length) - start && now.at(-1 - end) === next.at(-1 - end)) end++;
      quiet = true;
      view.dispatch({ changes: { from: start, to: now.length - end, insert: next.slice(start, next.length - end) } });
      quiet = false;
    },
    destroy: () => view.destroy(),
  };
}
