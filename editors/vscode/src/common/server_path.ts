// The setting `coe.serverPath`: the server that the user names.

import * as vscode from "vscode";

const { Global, Workspace, WorkspaceFolder } = vscode.ConfigurationTarget;

/** What it names; undefined if it is not set. */
export function serverPath(): string | undefined {
  const { serverPath: set } = vscode.workspace.getConfiguration("coe");
  return typeof set === "string" && set ? set : undefined;
}

/** Take it out of wherever it is set; false if it is still there, since it cannot be reached. */
export async function clearServerPath(): Promise<boolean> {
  const settings = vscode.workspace.getConfiguration("coe");
  const found = settings.inspect("serverPath");
  const places = [
    [found?.globalValue, Global],
    [found?.workspaceValue, Workspace],
    [found?.workspaceFolderValue, WorkspaceFolder],
  ] as const;
  for (const [value, target] of places) {
    if (value !== undefined) {
      await settings.update("serverPath", undefined, target);
    }
  }
  return serverPath() === undefined;
}
