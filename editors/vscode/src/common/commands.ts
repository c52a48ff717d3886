// The palette's commands. They have names of their own: the client registers the server's.

import * as vscode from "vscode";
import { ExecuteCommandRequest, type LanguageClient } from "vscode-languageclient/node";
import type { Activity } from "./activity";
import { entries } from "./menu";
import type { Preview } from "./preview";
import type { ShownText } from "./protocol";
import { pythonEditor, pythonFile } from "./python_file";
import type { Texts } from "./texts";

export interface Server {
  /** The running client, started if need be; undefined if there is none, which was told. */
  client(): Promise<LanguageClient | undefined>;
  restart(): Promise<void>;
  /** Install it; if a setting names another, after asking. */
  install(): Promise<void>;
  /** Clear that setting and install it. */
  clearPathAndInstall(): Promise<void>;
}

export function registerCommands(
  server: Server,
  activity: Activity,
  preview: Preview,
  texts: Texts,
  log: vscode.LogOutputChannel,
): vscode.Disposable {
  const execute = async (command: string, argument: object = {}): Promise<unknown> => {
    const client = await server.client();
    return client?.sendRequest(ExecuteCommandRequest.type, { command, arguments: [argument] });
  };
  // The server does one repair at a time, and the next one starts after the decision.
  const repair = async (command: string, argument: object): Promise<unknown> => {
    await preview.reveal();
    return execute(command, argument);
  };
  const here = (): { uri: string; position: { line: number; character: number } } | undefined => {
    const editor = pythonEditor();
    if (editor === undefined) {
      void vscode.window.showInformationMessage(vscode.l10n.t("Open a Python file first."));
      return undefined;
    }
    const { line, character } = editor.selection.active;
    return { uri: editor.document.uri.toString(), position: { line, character } };
  };
  const show = (command: string) => async () => {
    const uri = vscode.window.activeTextEditor?.document.uri;
    const argument = uri?.scheme === "file" ? { uri: uri.toString() } : {};
    const found = (await execute(command, argument)) as ShownText | null | undefined;
    if (found) {
      await texts.showMarkdown(`/${found.title}.md`, found.text);
    }
  };
  const repairTest = async (test?: vscode.TestItem) => {
    if (test?.uri === undefined) {
      void vscode.window.showInformationMessage(
        vscode.l10n.t("Choose a test in the Test Explorer first."),
      );
      return undefined;
    }
    await vscode.workspace.openTextDocument(test.uri); // the server looks at what is open
    const uri = test.uri.toString();
    const { line, character } = test.range?.start ?? new vscode.Position(0, 0);
    return test.range === undefined
      ? repair("coe.repairFile", { uri })
      : repair("coe.repair", { uri, position: { line, character } });
  };
  const menu = async () => {
    const offered = entries(activity, pythonFile(), preview.isInFront());
    const chosen = await vscode.window.showQuickPick(offered, {
      title: "CoE",
      placeHolder: vscode.l10n.t("What shall be done?"),
    });
    if (chosen !== undefined) {
      await vscode.commands.executeCommand(chosen.command, ...(chosen.arguments ?? []));
    }
  };
  const handlers: Record<string, (...given: never[]) => unknown> = {
    "coe.repairTest": repairTest,
    "coe.repairFunction": () => {
      const place = here();
      return place && repair("coe.repair", place);
    },
    "coe.repairThisFile": () => {
      const place = here();
      return place && repair("coe.repairFile", { uri: place.uri });
    },
    "coe.runTests": () => {
      const place = here();
      return place && execute("coe.check", { uri: place.uri });
    },
    "coe.cancelRepairs": () => {
      preview.rejectAll();
      return execute("coe.cancel");
    },
    "coe.restartTests": () => execute("coe.restartWorker"),
    "coe.showLastChain": show("coe.showChain"),
    "coe.showDoctor": show("coe.doctor"),
    "coe.restartServer": () => server.restart(),
    "coe.installServer": () => server.install(),
    "coe.clearPathAndInstall": () => server.clearPathAndInstall(),
    "coe.showLog": () => log.show(),
    "coe.showMenu": menu,
    // What is in front already needs no bringing back: then the question is what to do with it.
    "coe.showRepair": async () => (await preview.reveal()) || menu(),
    "coe.accept": () => preview.accept(),
    "coe.reject": () => preview.reject(),
    // For the title bar: VS Code crams the key beside the words of a command that has one.
    "coe.acceptShown": () => preview.accept(),
    "coe.rejectShown": () => preview.reject(),
    "coe.otherRepairs": () => preview.choose(),
  };
  return vscode.Disposable.from(
    ...Object.entries(handlers).map(([name, handler]) =>
      vscode.commands.registerCommand(name, handler),
    ),
  );
}
