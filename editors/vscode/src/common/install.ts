// Installs the server into an environment of its own, below the extension's storage, if asked to.

import { spawn } from "node:child_process";
import * as path from "node:path";
import * as vscode from "vscode";
import { bundledWheel, pythonOf, pythonVersion } from "./locate";

const OLDEST: [number, number] = [3, 11];

export async function install(
  context: vscode.ExtensionContext,
  folder: string,
  interpreter: string | undefined,
  log: vscode.LogOutputChannel,
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
      const steps: [string, string[]][] = [
        [python, ["-m", "venv", folder]],
        [pythonOf(folder), ["-m", "pip", "install", "--upgrade", wheel]],
      ];
      for (const [command, args] of steps) {
        const code = await follow(command, args, token, (line) => {
          log.info(line);
          progress.report({ message: line.slice(0, 80) });
        });
        if (token.isCancellationRequested) {
          return false;
        }
        if (code !== 0) {
          const answer = await vscode.window.showErrorMessage(
            "coe-lsp could not be installed; the log says why. You can also install it by hand " +
              "(pip install coe-lsp) and set coe.serverPath.",
            "Show Log",
          );
          if (answer !== undefined) {
            log.show();
          }
          return false;
        }
      }
      return true;
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

function follow(
  command: string,
  args: string[],
  token: vscode.CancellationToken,
  line: (text: string) => void,
): Promise<number | null> {
  return new Promise((resolve) => {
    const child = spawn(command, args);
    const read = (data: Buffer) => data.toString().split(/\r?\n/).filter(Boolean).forEach(line);
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("error", (error) => {
      line(String(error));
      resolve(null);
    });
    child.on("close", resolve);
    token.onCancellationRequested(() => child.kill());
  });
}
