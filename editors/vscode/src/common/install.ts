// Installs the server into an environment of its own, below the extension's storage, if asked to.

import { rm } from "node:fs/promises";
import * as path from "node:path";
import * as vscode from "vscode";
import { makeEnvironment, others } from "./environment";
import { pythonVersion } from "./locate";

const OLDEST: [number, number] = [3, 11];

/** The folder of the private environment. A new version of the extension takes a new one. */
export function privateFolder(context: vscode.ExtensionContext): string {
  const { version } = context.extension.packageJSON as { version: string };
  return path.join(context.globalStorageUri.fsPath, `server-${version}`);
}

/** Whether another version of the extension has installed a server: the user wants that, then. */
export function installedBefore(folder: string): boolean {
  return others(folder).length > 0;
}

/** Whether it was installed into `folder`. `ending` cancels, as the user may. */
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
      vscode.l10n.t(
        "CoE needs Python {0} or newer to install its server: install one, or set " +
          "coe.serverPath to a coe-lsp that is installed already.",
        OLDEST.join("."),
      ),
    );
    return false;
  }
  const bundle = path.join(context.extensionPath, "server");
  log.info(`Installing coe-lsp with ${python}`);
  const made = await vscode.window.withProgress(
    {
      location: vscode.ProgressLocation.Notification,
      title: vscode.l10n.t("Installing coe-lsp"),
      cancellable: true,
    },
    (progress, token) => {
      const cancel = new AbortController();
      token.onCancellationRequested(() => cancel.abort());
      const signal = AbortSignal.any([cancel.signal, ending]);
      let shown = 0;
      return makeEnvironment(python, folder, bundle, signal, {
        progress: (message, done) => {
          log.info(message);
          progress.report({ message, increment: Math.max(0, 100 * done - shown) });
          shown = Math.max(shown, 100 * done);
        },
        line: (text) => log.info(text),
      });
    },
  );
  if (made.state === "made") {
    await Promise.all(others(folder).map((old) => rm(old, { recursive: true, force: true })));
    void vscode.window.showInformationMessage(vscode.l10n.t("coe-lsp is installed."));
  }
  if (made.state === "failed") {
    void tellFailed(made.failed, log);
  }
  return made.state === "made";
}

/** Nothing waits for the answer: the installation is over. */
async function tellFailed(failed: string, log: vscode.LogOutputChannel): Promise<void> {
  const answer = await vscode.window.showErrorMessage(
    vscode.l10n.t("coe-lsp could not be installed. {0}", failed),
    vscode.l10n.t("Show Log"),
  );
  if (answer !== undefined) {
    log.show();
  }
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
