// Puts the parts together: finds the server, runs one client, restarts it when settings change; none
// of it where `coe.enable` is false.

import * as vscode from "vscode";
import { type LanguageClient, State } from "vscode-languageclient/node";
import { Activity } from "./common/activity";
import { makeClient } from "./common/client";
import { registerCommands, type Server } from "./common/commands";
import { install, installedBefore, privateFolder } from "./common/install";
import { candidates, type Found, locate } from "./common/locate";
import { wanted } from "./common/messages";
import { Preview } from "./common/preview";
import { RepairProgress } from "./common/progress";
import { Python } from "./common/python";
import { clearServerPath, serverPath } from "./common/server_path";
import { serverSettings } from "./common/settings";
import { StatusItems } from "./common/status_items";
import { Texts } from "./common/texts";
import { traced } from "./common/trace";

let session: Session | undefined;
let switching = Promise.resolve();

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const python = await Python.find();
  const follow = () => (switching = switching.then(() => beginOrEnd(context, python)));
  context.subscriptions.push(
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("coe.enable")) {
        void follow();
      }
    }),
    new vscode.Disposable(() => session?.dispose()),
  );
  await follow();
}

export async function deactivate(): Promise<void> {
  await switching;
  await session?.end();
}

async function beginOrEnd(context: vscode.ExtensionContext, python: Python): Promise<void> {
  const enabled = vscode.workspace.getConfiguration("coe").get<boolean>("enable") ?? true;
  if (enabled && session === undefined) {
    session = new Session(context, python);
    void session.client();
  } else if (!enabled && session !== undefined) {
    const ending = session;
    session = undefined;
    await ending.end();
    ending.dispose();
  }
}

class Session implements Server, vscode.Disposable {
  private readonly log = vscode.window.createOutputChannel("CoE", { log: true });
  private readonly trace = traced(this.log);
  private readonly activity = new Activity(() => this.render());
  private readonly items = new StatusItems(this.activity);
  private readonly preview = new Preview((waiting) => this.activity.set({ waiting }));
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
    this.parts = [
      this.trace,
      this.log,
      this.items,
      this.preview,
      this.texts,
      registerCommands(this, this.activity, this.preview, this.texts, this.log),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration("coe.serverPath") && this.installing === undefined) {
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
    this.preview.rejectAll();
    this.activity.set({ server: "starting" });
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

  /** Install the server into an environment of its own, and start it; unless there is one. */
  async install(): Promise<void> {
    const set = serverPath();
    if (set !== undefined && !(await this.isThere())) {
      // What it names would be taken all the same.
      const clearIt = vscode.l10n.t("Clear the Setting and Install");
      const answer = await vscode.window.showWarningMessage(
        vscode.l10n.t("coe.serverPath is {0}: what is installed would not be used.", set),
        { modal: true },
        clearIt,
      );
      if (answer !== clearIt) {
        return;
      }
    }
    await this.clearPathAndInstall();
  }

  async clearPathAndInstall(): Promise<void> {
    if (await this.isThere()) {
      const text = vscode.l10n.t("The server is there: coe-lsp {0}.", this.activity.version);
      void vscode.window.showInformationMessage(text);
      return;
    }
    this.activity.set({ server: "installing" });
    // What they say is true no more; they cannot be taken back singly.
    await vscode.commands.executeCommand("notifications.hideToasts");
    this.installing ??= this.installNow();
    let installed = false;
    try {
      installed = await this.installing;
    } finally {
      this.installing = undefined;
      if (!installed) {
        this.activity.set({ server: serverPath() ? "misnamed" : "missing" });
      }
    }
    if (installed) {
      await this.restart();
    }
  }

  /** Whether the server runs, once it is no more being started. */
  private async isThere(): Promise<boolean> {
    await this.starting;
    return this.activity.server === "running";
  }

  private async installNow(): Promise<boolean> {
    const { context, folder, log, ending } = this;
    if (!(await clearServerPath())) {
      // In a remote window the user's own settings are out of reach.
      const revealSetting = { key: "coe.serverPath" };
      await vscode.commands.executeCommand("workbench.action.openSettingsJson", { revealSetting });
      void vscode.window.showErrorMessage(
        vscode.l10n.t("Take coe.serverPath out of this file: that cannot be done from here."),
      );
      return false;
    }
    return install(context, folder, this.interpreter(), log, ending.signal);
  }

  private async start(): Promise<LanguageClient | undefined> {
    this.activity.set({ server: "starting" });
    this.server = await this.find();
    if (this.server === undefined) {
      this.activity.set({ server: serverPath() ? "misnamed" : "missing" });
      void this.offer();
      return undefined;
    }
    const { command, args, version, origin } = this.server;
    this.log.info(`coe-lsp ${version} (${origin}): ${[command, ...args].join(" ")}`);
    const manifest = this.context.extension.packageJSON as {
      contributes: { configuration: { properties: Record<string, unknown> } };
    };
    const names = serverSettings(manifest.contributes.configuration.properties);
    const { python, log, trace, preview } = this;
    const client = makeClient(this.server, names, python, log, trace, preview, (status) =>
      this.activity.update(status),
    );
    client.onDidChangeState(({ newState }) => {
      if (newState === State.Stopped && this.starting !== undefined) {
        this.activity.set({ server: "broken" });
      } else if (newState === State.Running) {
        this.activity.set({ server: "running", version });
      }
    });
    try {
      await client.start();
    } catch (error) {
      this.activity.set({ server: "broken" });
      this.log.error(`The server could not be started: ${String(error)}`);
      void this.tellBroken(command, String(error));
      return undefined;
    }
    return client;
  }

  private find(): Promise<Found | undefined> {
    const tried = candidates(serverPath(), this.interpreter(), this.folder);
    return locate(tried, (text) => this.log.info(text));
  }

  /** The folder of the private environment. */
  private get folder(): string {
    return privateFolder(this.context);
  }

  /** What `coe.python` says, else the Python extension's choice. */
  private interpreter(): string | undefined {
    const resource = vscode.workspace.workspaceFolders?.[0]?.uri;
    const set = vscode.workspace.getConfiguration("coe", resource).get<string | null>("python");
    return set || this.python.interpreter(resource);
  }

  /** Say that there is no server, and what can be done; nothing waits for the answer. */
  private async offer(): Promise<void> {
    const set = serverPath();
    const openSettings = vscode.l10n.t("Open Settings");
    const installIt = vscode.l10n.t("Install");
    const clearIt = vscode.l10n.t("Clear the Setting and Install");
    // Who has installed it for an earlier version of the extension is not asked again.
    const again = !set && installedBefore(this.folder) ? installIt : undefined;
    if (again === undefined && !wanted(set ? "error" : "warning")) {
      return; // the status item says it, and its menu has the same offers
    }
    const answer =
      again ??
      (await (set
        ? vscode.window.showErrorMessage(
            vscode.l10n.t(
              "coe.serverPath is {0}, which is no coe-lsp: correct the setting, or clear it.",
              set,
            ),
            clearIt,
            openSettings,
          )
        : vscode.window.showWarningMessage(
            vscode.l10n.t(
              "CoE needs its server, coe-lsp. Install it into an environment of its own, or say " +
                "where it is if you have installed it yourself.",
            ),
            installIt,
            openSettings,
          )));
    if (answer === openSettings) {
      await vscode.commands.executeCommand("workbench.action.openSettings", "coe.serverPath");
    }
    if (answer === installIt) {
      await this.install();
    }
    if (answer === clearIt) {
      await this.clearPathAndInstall();
    }
  }

  private async tellBroken(command: string, error: string): Promise<void> {
    if (!wanted("error")) {
      return;
    }
    const showLog = vscode.l10n.t("Show Log");
    const answer = await vscode.window.showErrorMessage(
      vscode.l10n.t(
        'The CoE server could not be started ({0}): see the log, or run "{1}" in a terminal.',
        error,
        command,
      ),
      showLog,
    );
    if (answer !== undefined) {
      this.log.show();
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

  private render(): void {
    this.items.render();
    this.progress.update(this.activity.underWay);
  }
}
