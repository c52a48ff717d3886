// The palette's commands. They have names of their own: the client registers the server's.

import * as vscode from "vscode";
import { ExecuteCommandRequest, type LanguageClient } from "vscode-languageclient/node";
import type { Preview } from "./preview";
import type { ShownText } from "./protocol";
import type { Texts } from "./texts";

export interface Server {
  /** The running client, started if need be; undefined if there is none, which was told. */
  client(): Promise<LanguageClient | undefined>;
  restart(): Promise<void>;
}

export function registerCommands(
  server: Server,
  preview: Preview,
  texts: Texts,
  log: vscode.LogOutputChannel,
): vscode.Disposable {
  const execute = async (command: string, argument: object = {}): Promise<unknown> => {
    const client = await server.client();
    return client?.sendRequest(ExecuteCommandRequest.type, { command, arguments: [argument] });
  };
  const here = (): { uri: string; position: vscode.Position } | undefined => {
    const editor = vscode.window.activeTextEditor;
    const scheme = editor?.document.uri.scheme;
    const ours = scheme === "file" || scheme === "untitled";
    if (editor?.document.languageId !== "python" || !ours) {
      void vscode.window.showInformationMessage("Open a Python file first.");
      return undefined;
    }
    return { uri: editor.document.uri.toString(), position: editor.selection.active };
  };
  const onFile = (command: string, whole: boolean) => () => {
    const place = here();
    if (place === undefined) {
      return undefined;
    }
    const { line, character } = place.position;
    return execute(command, {
      uri: place.uri,
      ...(whole ? {} : { position: { line, character } }),
    });
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
      void vscode.window.showInformationMessage("Choose a test in the Test Explorer first.");
      return undefined;
    }
    await vscode.workspace.openTextDocument(test.uri); // the server looks at what is open
    const uri = test.uri.toString();
    const { line, character } = test.range?.start ?? new vscode.Position(0, 0);
    return test.range === undefined
      ? execute("coe.repairFile", { uri })
      : execute("coe.repair", { uri, position: { line, character } });
  };
  const handlers: Record<string, (...given: never[]) => unknown> = {
    "coe.repairTest": repairTest,
    "coe.repairFunction": onFile("coe.repair", false),
    "coe.repairThisFile": onFile("coe.repairFile", true),
    "coe.runTests": onFile("coe.check", true),
    "coe.cancelRepairs": () => {
      preview.rejectAll();
      return execute("coe.cancel");
    },
    "coe.restartTests": () => execute("coe.restartWorker"),
    "coe.showLastChain": show("coe.showChain"),
    "coe.showDoctor": show("coe.doctor"),
    "coe.restartServer": () => server.restart(),
    "coe.showLog": () => log.show(),
    "coe.accept": () => preview.accept(),
    "coe.reject": () => preview.reject(),
  };
  return vscode.Disposable.from(
    ...Object.entries(handlers).map(([name, handler]) =>
      vscode.commands.registerCommand(name, handler),
    ),
  );
}
