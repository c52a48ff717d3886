// The language client: how the server is started, what it is told of us, and what it asks of us.

import * as vscode from "vscode";
import {
  type FeatureState,
  LanguageClient,
  type LanguageClientOptions,
  ShowMessageNotification,
  ShowMessageRequest,
  type StaticFeature,
} from "vscode-languageclient/node";
import type { Candidate } from "./locate";
import { ask, tell } from "./messages";
import type { Preview } from "./preview";
import type { PreviewParams, StatusParams } from "./protocol";
import type { Python } from "./python";
import { section } from "./settings";

/**
 * Announces what we handle, that progress is shown by us, with a Cancel button, and that the editor
 * has asked whether the folder is trusted: the extension does nothing where it is not.
 */
class Announcement implements StaticFeature {
  fillClientCapabilities: StaticFeature["fillClientCapabilities"] = (capabilities) => {
    capabilities.experimental = {
      ...(capabilities.experimental as object | undefined),
      coe: { preview: true, status: true, chain: true, workspaceTrust: true },
    };
    capabilities.window = { ...capabilities.window, workDoneProgress: false };
  };
  initialize(): void {}
  getState(): FeatureState {
    return { kind: "static" };
  }
  clear(): void {}
}

export function makeClient(
  server: Candidate,
  names: readonly string[],
  python: Python,
  log: vscode.LogOutputChannel,
  trace: vscode.LogOutputChannel,
  preview: Preview,
  status: (params: StatusParams) => void,
): LanguageClient {
  const run = { command: server.command, args: [...server.args, "serve"] };
  const options: LanguageClientOptions = {
    documentSelector: [
      { scheme: "file", language: "python" },
      { scheme: "untitled", language: "python" },
    ],
    outputChannel: log,
    traceOutputChannel: trace,
    synchronize: { configurationSection: "coe" },
    middleware: {
      // One repair at a time: what waits for a decision is shown before the next one is asked for.
      executeCommand: async (command, given, next) => {
        if (/^coe\.repair/.test(command)) {
          await preview.reveal();
        }
        return (await next(command, given)) as unknown;
      },
      workspace: {
        configuration: (params) =>
          params.items.map((item) => {
            const scope = item.scopeUri === undefined ? undefined : vscode.Uri.parse(item.scopeUri);
            const settings = vscode.workspace.getConfiguration("coe", scope);
            return section(names, (name) => settings.inspect(name), python.interpreter(scope));
          }),
      },
    },
  };
  const client = new LanguageClient("coe", "CoE", run, options);
  client.registerFeature(new Announcement());
  // The client's own handlers show links as they come.
  client.onNotification(ShowMessageNotification.type, ({ type, message }) => {
    void tell(type, message, log);
  });
  client.onRequest(ShowMessageRequest.type, ({ type, message, actions }) =>
    ask(type, message, actions ?? []),
  );
  client.onNotification("coe/status", status);
  client.onRequest("coe/preview", (params: PreviewParams) => preview.show(params));
  return client;
}
