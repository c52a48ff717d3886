// Shows a repair in the native diff editor, of several files one after the other in one tab, and
// waits for Accept or Reject: by the buttons in the editor's title, by the notification, or by
// closing the tab, which rejects.

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
    const files = [patch, ...(patch.also ?? [])];
    const shown = files.map((file, number): [vscode.Uri, vscode.Uri] => {
      const original = vscode.Uri.parse(file.uri);
      const name = path.posix.basename(original.path);
      return [original, this.texts.put(`/${params.repair}/${number}/${name}`, file.newText)];
    });
    const repaired = shown.map(([, text]) => text);
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
      await showDiff(shown, params.function);
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
      repaired.forEach((uri) => this.texts.drop(uri));
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

async function showDiff(shown: [vscode.Uri, vscode.Uri][], name: string): Promise<void> {
  const [first] = shown;
  if (first !== undefined && shown.length === 1) {
    const title = `${path.posix.basename(first[0].path)}: repair of ${name}`;
    await vscode.commands.executeCommand("vscode.diff", ...first, title, { preview: true });
  } else {
    const resources = shown.map(([original, repaired]) => [original, original, repaired]);
    const title = `${shown.length} files: repair of ${name}`;
    await vscode.commands.executeCommand("vscode.changes", title, resources);
  }
}

function shows(tab: vscode.Tab, uris: vscode.Uri[]): boolean {
  const repaired = new Set(uris.map(String));
  if (tab.input instanceof vscode.TabInputTextDiff) {
    return repaired.has(tab.input.modified.toString());
  }
  // A tab of several diffs; its class is not in the API of all versions that are supported.
  const several = tab.input as { textDiffs?: vscode.TabInputTextDiff[] } | undefined;
  return several?.textDiffs?.some((diff) => repaired.has(diff.modified.toString())) ?? false;
}

async function closeTabs(uris: vscode.Uri[]): Promise<void> {
  const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
  await vscode.window.tabGroups.close(tabs.filter((tab) => shows(tab, uris)));
}
