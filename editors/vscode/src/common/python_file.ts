// The Python file that the user looks at.

import * as vscode from "vscode";

/** Its editor: the active one, else one that is in sight beside a preview or a panel. */
export function pythonEditor(): vscode.TextEditor | undefined {
  return [vscode.window.activeTextEditor, ...vscode.window.visibleTextEditors].find(
    (editor) =>
      editor?.document.languageId === "python" &&
      ["file", "untitled"].includes(editor.document.uri.scheme),
  );
}

/** Its address. */
export function pythonFile(): string | undefined {
  return pythonEditor()?.document.uri.toString();
}
