// The interpreter that the Python extension has chosen, if that extension is there.

import { PythonExtension } from "@vscode/python-extension";
import * as vscode from "vscode";

export class Python {
  private constructor(private readonly api: PythonExtension | undefined) {}

  static async find(): Promise<Python> {
    if (vscode.extensions.getExtension("ms-python.python") === undefined) {
      return new Python(undefined);
    }
    try {
      return new Python(await PythonExtension.api());
    } catch {
      return new Python(undefined);
    }
  }

  /** The interpreter for a file or folder; undefined if nothing was chosen. */
  interpreter(resource?: vscode.Uri): string | undefined {
    const chosen = this.api?.environments.getActiveEnvironmentPath(resource);
    // The API calls it DEFAULT_PYTHON when nothing was chosen; an environment may be a folder.
    return chosen === undefined || chosen.id === "DEFAULT_PYTHON" ? undefined : chosen.path;
  }

  onDidChange(listener: () => void): vscode.Disposable {
    return (
      this.api?.environments.onDidChangeActiveEnvironmentPath(listener) ??
      new vscode.Disposable(() => undefined)
    );
  }
}
