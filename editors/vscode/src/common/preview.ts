// Shows a repair in the native diff editor, and waits for Accept or Reject: by the buttons in the
// editor's title, by the notification, or by closing the tab, which rejects.

import * as path from "node:path";
import * as vscode from "vscode";
import { plain } from "./plain";
import type { PreviewParams, PreviewResult } from "./protocol";
import { Texts } from "./texts";

export class Preview implements vscode.Disposable {
  private readonly texts = new Texts("coe-preview");
  private decide: ((accepted: boolean) => void) | undefined;
  private picking: vscode.CancellationTokenSource | undefined;
  private generation = 0;
  private previous: Promise<PreviewResult> = Promise.resolve({ accept: null });

  /** One preview at a time; the next one waits for the decision on this one. */
  show(params: PreviewParams): Promise<PreviewResult> {
    const generation = this.generation;
    this.previous = this.previous
      .catch(() => undefined)
      .then(() => (generation === this.generation ? this.showNow(params) : { accept: null }));
    return this.previous;
  }

  accept(): void {
    this.decide?.(true);
  }

  reject(): void {
    this.decide?.(false);
  }

  /** Reject the one that is shown and those that wait: the repairs were cancelled. */
  rejectAll(): void {
    this.generation += 1;
    this.picking?.cancel();
    this.reject();
  }

  dispose(): void {
    this.rejectAll();
    this.texts.dispose();
  }

  private async showNow(params: PreviewParams): Promise<PreviewResult> {
    const index = await this.choose(params);
    const patch = index === undefined ? undefined : params.patches[index];
    if (index === undefined || patch === undefined) {
      return { accept: null };
    }
    const original = vscode.Uri.parse(params.uri);
    const name = path.posix.basename(original.path);
    const repaired = this.texts.put(`/${params.repair}/${name}`, patch.newText);
    let decide: (accepted: boolean) => void = () => undefined;
    const decision = new Promise<boolean>((resolve) => (decide = resolve));
    this.decide = decide;
    const closed = vscode.window.tabGroups.onDidChangeTabs((event) => {
      if (event.closed.some((tab) => shows(tab, repaired))) {
        decide(false);
      }
    });
    await vscode.commands.executeCommand("setContext", "coe.previewing", true);
    try {
      const title = `${name}: repair of ${params.function}`;
      await vscode.commands.executeCommand("vscode.diff", original, repaired, title, {
        preview: true,
      });
      // The notification may outlive its preview: its buttons decide on this one only.
      void vscode.window
        .showInformationMessage(plain(params.message), "Accept", "Reject")
        .then((answer) => answer && decide(answer === "Accept"));
      const accepted = await decision;
      return { accept: accepted ? index : null };
    } finally {
      this.decide = undefined;
      closed.dispose();
      await vscode.commands.executeCommand("setContext", "coe.previewing", false);
      await closeTabs(repaired);
      this.texts.drop(repaired);
    }
  }

  private async choose(params: PreviewParams): Promise<number | undefined> {
    if (params.patches.length < 2) {
      return params.patches.length - 1 < 0 ? undefined : 0;
    }
    const items = params.patches.map((patch, index) => ({ label: plain(patch.label), index }));
    this.picking = new vscode.CancellationTokenSource();
    try {
      const picked = await vscode.window.showQuickPick(
        items,
        { placeHolder: `Repairs of ${params.function}, best first`, ignoreFocusOut: true },
        this.picking.token,
      );
      return picked?.index;
    } finally {
      this.picking.dispose();
      this.picking = undefined;
    }
  }
}

function shows(tab: vscode.Tab, uri: vscode.Uri): boolean {
  return (
    tab.input instanceof vscode.TabInputTextDiff &&
    tab.input.modified.toString() === uri.toString()
  );
}

async function closeTabs(uri: vscode.Uri): Promise<void> {
  const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
  await vscode.window.tabGroups.close(tabs.filter((tab) => shows(tab, uri)));
}
