// The status bar item and the language status item: they show the activity, and a click leads on.

import * as vscode from "vscode";
import type { Activity } from "./activity";
import { pythonFile } from "./python_file";
import { shown } from "./status";

const SEVERITIES = {
  information: vscode.LanguageStatusSeverity.Information,
  warning: vscode.LanguageStatusSeverity.Warning,
  error: vscode.LanguageStatusSeverity.Error,
};

export class StatusItems implements vscode.Disposable {
  private readonly bar = vscode.window.createStatusBarItem("coe", vscode.StatusBarAlignment.Left);
  private readonly language = vscode.languages.createLanguageStatusItem("coe", {
    language: "python",
  });
  private readonly moved = vscode.window.onDidChangeVisibleTextEditors(() => this.render());
  private readonly entered = vscode.window.onDidChangeActiveTextEditor(() => this.render());

  private readonly contexts = new Map<string, boolean>();

  constructor(private readonly activity: Activity) {
    this.bar.name = "CoE";
    this.language.name = "CoE";
  }

  render(): void {
    const file = pythonFile();
    const { text, detail, severity, busy, waits } = shown(this.activity, file);
    // A diff that waits is brought back, unless it is in front.
    const command = waits
      ? { command: "coe.showRepair", title: vscode.l10n.t("Show") }
      : { command: "coe.showMenu", title: vscode.l10n.t("Menu") };
    this.bar.text = text;
    this.bar.tooltip = [
      detail,
      waits ? vscode.l10n.t("Click to see it.") : vscode.l10n.t("Click for what can be done."),
    ].join("\n");
    this.bar.command = command.command;
    this.bar.backgroundColor = waits
      ? new vscode.ThemeColor("statusBarItem.warningBackground")
      : undefined;
    this.bar.show();
    this.language.text = text.replace(/\$\([^)]*\) /, "");
    this.language.detail = detail;
    this.language.severity = SEVERITIES[severity];
    this.language.busy = busy;
    this.language.command = command;
    const { server } = this.activity;
    this.setContext("coe.failing", (this.activity.of(file)?.failing ?? 0) > 0);
    this.setContext("coe.serverRunning", server === "running");
    this.setContext("coe.serverMissing", ["missing", "misnamed", "broken"].includes(server));
  }

  private setContext(name: string, value: boolean): void {
    if (this.contexts.get(name) !== value) {
      this.contexts.set(name, value);
      void vscode.commands.executeCommand("setContext", name, value);
    }
  }

  dispose(): void {
    vscode.Disposable.from(this.bar, this.language, this.moved, this.entered).dispose();
  }
}
