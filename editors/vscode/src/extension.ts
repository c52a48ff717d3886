// Puts the parts together: finds the server, runs one client, restarts it when settings change.

import * as vscode from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import { makeClient } from "./common/client";
import { registerCommands, type Server } from "./common/commands";
import { install, installedBefore, privateFolder } from "./common/install";
import { candidates, type Found, locate } from "./common/locate";
import { Preview } from "./common/preview";
import { RepairProgress } from "./common/progress";
import type { StatusParams } from "./common/protocol";
import { Python } from "./common/python";
import { shown } from "./common/status";
import { Texts } from "./common/texts";

let session: Session | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  session = new Session(context, await Python.find());
  context.subscriptions.push(session);
  void session.client();
}

export async function deactivate(): Promise<void> {
  await session?.end();
}

class Session implements Server, vscode.Disposable {
  private readonly log = vscode.window.createOutputChannel("CoE", { log: true });
  private readonly item = vscode.window.createStatusBarItem("coe", vscode.StatusBarAlignment.Left);
  private readonly preview = new Preview();
  private readonly texts = new Texts("coe-text");
  private readonly progress = new RepairProgress((repair) => void this.cancel(repair));
  private readonly parts: vscode.Disposable[];
  private readonly ending = new AbortController();
  private installing: Promise<boolean> | undefined;
  private starting: Promise<LanguageClient | undefined> | undefined;
  private server: Found | undefined;

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly python: Python,
  ) {
    this.item.name = "CoE";
    this.item.command = "coe.showLog";
    this.parts = [
      this.log,
      this.item,
      this.preview,
      this.texts,
      registerCommands(this, this.preview, this.texts, this.log),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration("coe.serverPath")) {
          void this.restart();
        }
      }),
      python.onDidChange(() => void this.interpreterChanged()),
    ];
  }

  client(): Promise<LanguageClient | undefined> {
    this.starting ??= this.start().then((client) => {
      if (client === undefined) {
        this.starting = undefined;
      }
      return client;
    });
    return this.starting;
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.client();
  }

  async stop(): Promise<void> {
    const client = await this.starting?.catch(() => undefined);
    this.starting = undefined;
    this.progress.end();
    this.preview.rejectAll();
    await client?.stop().catch((error: unknown) => this.log.warn(String(error)));
    await client?.dispose();
  }

  /** The window is closed: nothing that was started may outlive it. */
  async end(): Promise<void> {
    this.ending.abort();
    await this.installing?.catch(() => undefined);
    await this.stop();
  }

  dispose(): void {
    vscode.Disposable.from(...this.parts).dispose();
  }

  private async start(): Promise<LanguageClient | undefined> {
    this.show({ state: "loading", message: "looking for the server" });
    this.server = await this.find();
    if (this.server === undefined) {
      this.show({ state: "failed", message: "There is no server." });
      void this.offer();
      return undefined;
    }
    const { command, args, version, origin } = this.server;
    this.log.info(`coe-lsp ${version} (${origin}): ${[command, ...args].join(" ")}`);
    const names = settingNames(this.context.extension);
    const client = makeClient(this.server, names, this.python, this.log, this.preview, (status) => {
      this.show(status);
      this.progress.update(status);
    });
    try {
      await client.start();
    } catch (error) {
      this.show({ state: "failed", message: "The server could not be started." });
      void vscode.window.showErrorMessage(
        `The CoE server could not be started (${String(error)}): see the log, or run ` +
          `"${command}" in a terminal.`,
      );
      return undefined;
    }
    this.show({ state: "idle", message: `coe-lsp ${version}` });
    return client;
  }

  private find(): Promise<Found | undefined> {
    return locate(candidates(this.serverPath(), this.interpreter(), this.folder));
  }

  /** The folder of the private environment. */
  private get folder(): string {
    return privateFolder(this.context);
  }

  private serverPath(): string | undefined {
    const { serverPath } = vscode.workspace.getConfiguration("coe");
    return typeof serverPath === "string" && serverPath ? serverPath : undefined;
  }

  /** What `coe.python` says, else the Python extension's choice. */
  private interpreter(): string | undefined {
    const resource = vscode.workspace.workspaceFolders?.[0]?.uri;
    const set = vscode.workspace.getConfiguration("coe", resource).get<string | null>("python");
    return set || this.python.interpreter(resource);
  }

  /** Say that there is no server, and what can be done; nothing waits for the answer. */
  private async offer(): Promise<void> {
    const set = this.serverPath();
    if (set) {
      const answer = await vscode.window.showErrorMessage(
        `coe.serverPath is ${set}, which is no coe-lsp: correct the setting, or clear it.`,
        "Open Settings",
      );
      if (answer !== undefined) {
        await vscode.commands.executeCommand("workbench.action.openSettings", "coe.serverPath");
      }
      return;
    }
    // Who has installed it for an earlier version of the extension is not asked again.
    const again = installedBefore(this.folder) ? "Install" : undefined;
    const answer = again ?? (await vscode.window.showWarningMessage(
      "CoE needs its server, coe-lsp. Install it into an environment of its own, or say where " +
        "it is if you have installed it yourself.",
      "Install",
      "Open Settings",
    ));
    if (answer === "Open Settings") {
      await vscode.commands.executeCommand("workbench.action.openSettings", "coe.serverPath");
    }
    if (answer === "Install") {
      const { context, folder, log, ending } = this;
      this.show({ state: "loading", message: "The server is being installed." });
      this.installing ??= install(context, folder, this.interpreter(), log, ending.signal);
      const installed = await this.installing.finally(() => (this.installing = undefined));
      if (installed) {
        await this.restart();
      } else {
        this.show({ state: "failed", message: "There is no server." });
      }
    }
  }

  private async interpreterChanged(): Promise<void> {
    if (this.server?.origin === "environment" || this.starting === undefined) {
      await this.restart();
      return;
    }
    const client = await this.starting;
    await client?.sendNotification("workspace/didChangeConfiguration", { settings: null });
  }

  private async cancel(repair: number): Promise<void> {
    const client = await this.client();
    await client?.sendRequest("workspace/executeCommand", {
      command: "coe.cancel",
      arguments: [{ repair }],
    });
  }

  private show(status: StatusParams): void {
    const { text, tooltip } = shown(status);
    this.item.text = text;
    this.item.tooltip = tooltip;
    this.item.show();
  }
}

/** The server's settings, by the manifest, without the section's name. */
function settingNames(extension: vscode.Extension<unknown>): string[] {
  const manifest = extension.packageJSON as {
    contributes: { configuration: { properties: Record<string, unknown> } };
  };
  return Object.keys(manifest.contributes.configuration.properties)
    .map((name) => name.replace(/^coe\./, ""))
    .filter((name) => name !== "serverPath");
}
