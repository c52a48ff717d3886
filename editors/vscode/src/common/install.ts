// Installs the server into an environment of its own, below the extension's storage, if asked to.

import * as path from "node:path";
import * as vscode from "vscode";
import { makeEnvironment } from "./environment";
import { bundledWheel, pythonVersion } from "./locate";
import { plain } from "./plain";

const OLDEST: [number, number] = [3, 11];

/** Whether it was installed. `ending` cancels, as the user may. */
export async function install(
  context: vscode.ExtensionContext,
  folder: string,
  interpreter: string | undefined,
  log: vscode.LogOutputChannel,
  ending: AbortSignal,
): Promise<boolean> {
  const python = await firstPython([interpreter, "python3", "python"]);
  if (python === undefined) {
    void vscode.window.showErrorMessage(
      `CoE needs Python ${OLDEST.join(".")} or newer to install its server: install one, or set ` +
        "coe.serverPath to a coe-lsp that is installed already.",
    );
    return false;
  }
  const wheel = bundledWheel(path.join(context.extensionPath, "server")) ?? "coe-lsp";
  return vscode.window.withProgress(
    {
      location: vscode.ProgressLocation.Notification,
      title: "Installing coe-lsp (llama.cpp is compiled: some minutes)",
      cancellable: true,
    },
    async (progress, token) => {
      const cancel = new AbortController();
      token.onCancellationRequested(() => cancel.abort());
      const signal = AbortSignal.any([cancel.signal, ending]);
      const made = await makeEnvironment(python, folder, wheel, signal, (line) => {
        log.info(line);
        progress.report({ message: plain(line).slice(0, 80) });
      });
      if (!made && !signal.aborted) {
        const answer = await vscode.window.showErrorMessage(
          "coe-lsp could not be installed; the log says why. You can also install it by hand " +
            "(pip install coe-lsp) and set coe.serverPath.",
          "Show Log",
        );
        if (answer !== undefined) {
          log.show();
        }
      }
      return made;
    },
  );
}

async function firstPython(names: (string | undefined)[]): Promise<string | undefined> {
  for (const name of names) {
    const version = name === undefined ? undefined : await pythonVersion(name);
    if (version && (version[0] > OLDEST[0] || version[1] >= OLDEST[1])) {
      return name;
    }
  }
  return undefined;
}
