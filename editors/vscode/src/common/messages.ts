// Messages of the server as notifications, of the kinds that `coe.showNotifications` wants. Questions
// are always shown: work waits for their answers.

import * as vscode from "vscode";
import { MessageType } from "vscode-languageclient/node";
import { plain } from "./plain";

type Kind = "error" | "warning" | "info";

const WANTED: Record<string, readonly Kind[]> = {
  off: [],
  onError: ["error"],
  onWarning: ["error", "warning"],
};

/** Whether a message that nobody waits for is shown. */
export function wanted(kind: Kind): boolean {
  const set = vscode.workspace.getConfiguration("coe").get<string>("showNotifications");
  return WANTED[set ?? ""]?.includes(kind) ?? true;
}

/** Show a message; the button that was chosen. */
export async function tell(
  type: MessageType,
  message: string,
  log: vscode.LogOutputChannel,
): Promise<void> {
  const text = plain(message);
  const kind = kindOf(type);
  log[kind === "warning" ? "warn" : kind](text);
  if (wanted(kind)) {
    await shower(kind)(text);
  }
}

/** Ask; the answer, or null if the question was closed. */
export async function ask<T extends vscode.MessageItem>(
  type: MessageType,
  message: string,
  actions: T[],
): Promise<T | null> {
  return (await shower(kindOf(type))(plain(message), ...actions)) ?? null;
}

function kindOf(type: MessageType): Kind {
  return type === MessageType.Error ? "error" : type === MessageType.Warning ? "warning" : "info";
}

function shower(kind: Kind): typeof vscode.window.showInformationMessage {
  return {
    error: vscode.window.showErrorMessage,
    warning: vscode.window.showWarningMessage,
    info: vscode.window.showInformationMessage,
  }[kind];
}
