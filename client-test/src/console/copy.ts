/** Buttons that copy a text of the page. */

import { must, setText } from "./dom.ts";

const SAID_FOR = 2_000;

/** Makes every `[data-copy]` button below `root` copy the text of the node that its `data-copy` selects. */
export function withCopyButtons(root: ParentNode): void {
  for (const button of root.querySelectorAll<HTMLButtonElement>("[data-copy]")) {
    const label = button.textContent ?? "Copy";
    button.addEventListener("click", () => {
      void copy(must(button.dataset["copy"] ?? "")).then((done) => {
        setText(button, done ? "Copied" : "Selected: press Ctrl+C");
        setTimeout(() => setText(button, label), SAID_FOR);
      });
    });
  }
}

/** Copies the text of a node. Without the right to (a page that is not secure has none) it is selected. */
async function copy(node: Element): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(node.textContent ?? "");
    return true;
  } catch {
    getSelection()?.selectAllChildren(node);
    return false;
  }
}
