// Shows a repair in the native diff editor, of several files one after the other in one tab, and
// waits for Accept or Reject: by the words in the editor's title, by key, or by the notification.
// Nothing else decides: a tab that is closed can be brought back.

import * as path from "node:path";
import * as vscode from "vscode";
import { changedCode } from "./diff";
import { wanted } from "./messages";
import { plain } from "./plain";
import type { PreviewParams, PreviewResult } from "./protocol";
import { Texts } from "./texts";

const SCHEME = "coe-preview";

/** A preview that waits for its decision. */
interface Waiting {
  params: PreviewParams;
  /** Which patch is shown, as pairs of the file and its new text. */
  index: number;
  shown: [vscode.Uri, vscode.Uri][];
  decide: (accepted: boolean) => void;
  /** Notifications with buttons that were not answered, and whether the first is one of them. */
  asked: number;
  offered: boolean;
}

export class Preview implements vscode.Disposable {
  private readonly texts = new Texts(SCHEME);
  private readonly tabs = vscode.window.tabGroups.onDidChangeTabs((event) => {
    const { waiting } = this;
    if (waiting === undefined || waiting.offered) {
      return; // the first notification has the same question
    }
    if (event.closed.some((tab) => shows(tab, waiting.shown)) && !isOpen(waiting)) {
      const { function: name } = waiting.params;
      const message = vscode.l10n.t("The repair of `{0}` waits for your decision.", name);
      void this.ask(waiting, message, vscode.l10n.t("Show"));
    } else if (event.opened.some((tab) => shows(tab, waiting.shown))) {
      void hideToasts(waiting);
    }
  });
  private waiting: Waiting | undefined;
  private picking: vscode.QuickPick<vscode.QuickPickItem & { index: number }> | undefined;
  private generation = 0;
  private previous: Promise<PreviewResult> = Promise.resolve({ accept: null });

  /** `changed` gets the function whose repair waits, or undefined if none does any more. */
  constructor(private readonly changed: (waiting: string | undefined) => void) {
    // A window that was reloaded has tabs of texts that are gone.
    void closeTabs((tab) => sides(tab).some(([, repaired]) => repaired.scheme === SCHEME));
  }

  /** One preview at a time; the next one waits for the decision on this one. */
  show(params: PreviewParams): Promise<PreviewResult> {
    const generation = this.generation;
    this.previous = this.previous
      .catch(() => undefined)
      .then(() => (generation === this.generation ? this.showNow(params) : { accept: null }));
    return this.previous;
  }

  accept(): void {
    this.waiting?.decide(true);
  }

  reject(): void {
    this.waiting?.decide(false);
  }

  /** Reject the one that is shown and those that wait: the repairs were cancelled. */
  rejectAll(): void {
    this.generation += 1;
    this.reject();
  }

  /** Whether the one that waits is in front. */
  isInFront(): boolean {
    const { activeTab } = vscode.window.tabGroups.activeTabGroup;
    return this.waiting !== undefined && !!activeTab && shows(activeTab, this.waiting.shown);
  }

  /** Bring the one that waits to the front; whether there is one that was not there. */
  async reveal(): Promise<boolean> {
    if (this.waiting === undefined || this.isInFront()) {
      return false;
    }
    await showDiff(this.waiting.shown, this.waiting.params.function);
    return true;
  }

  /** Let the user choose another of several repairs; the one that is pointed at is shown. */
  choose(): void {
    const { waiting } = this;
    if (waiting === undefined || waiting.params.patches.length < 2) {
      return;
    }
    const pick = vscode.window.createQuickPick<vscode.QuickPickItem & { index: number }>();
    this.picking = pick;
    const { patches, function: name } = waiting.params;
    pick.title = vscode.l10n.t("{0} repairs of `{1}`, best first", patches.length, plain(name));
    pick.placeholder = vscode.l10n.t("Choose the one to decide on");
    pick.matchOnDetail = true;
    pick.ignoreFocusOut = true;
    pick.items = patches.map((patch, index) => ({
      index,
      label: plain(changedCode(patch.diff) || patch.label),
      detail: plain(patch.detail ?? patch.label),
    }));
    pick.activeItems = pick.items.filter((item) => item.index === waiting.index);
    pick.onDidChangeActive(([item]) => item && void this.turnTo(waiting, item.index, true));
    pick.onDidAccept(() => {
      const [item] = pick.selectedItems;
      pick.hide();
      if (item !== undefined) {
        void this.turnTo(waiting, item.index, false);
      }
    });
    pick.onDidHide(() => pick.dispose());
    pick.show();
  }

  dispose(): void {
    this.rejectAll();
    this.tabs.dispose();
    this.texts.dispose();
  }

  private async showNow(params: PreviewParams): Promise<PreviewResult> {
    if (params.patches.length === 0) {
      return { accept: null };
    }
    let decide: (accepted: boolean) => void = () => undefined;
    const decision = new Promise<boolean>((resolve) => (decide = resolve));
    const waiting: Waiting = { params, index: 0, shown: [], decide, asked: 0, offered: true };
    this.waiting = waiting;
    waiting.shown = this.put(params, 0);
    const several = params.patches.length > 1;
    await setContext("coe.previewing", true);
    await setContext("coe.severalRepairs", several);
    this.changed(params.function);
    try {
      await showDiff(waiting.shown, params.function);
      if (several) {
        this.choose();
      }
      void this.ask(waiting, params.message, vscode.l10n.t("Accept")).then(
        () => (waiting.offered = false),
      );
      const accepted = await decision;
      return { accept: accepted ? waiting.index : null };
    } finally {
      this.waiting = undefined;
      this.picking?.hide();
      this.picking = undefined;
      this.changed(undefined);
      await hideToasts(waiting);
      await setContext("coe.previewing", false);
      await setContext("coe.severalRepairs", false);
      await closeTabs((tab) => shows(tab, waiting.shown));
      waiting.shown.forEach(([, uri]) => this.texts.drop(uri));
    }
  }

  /** Say that it waits, with buttons, which decide on this one only: they may outlive it. */
  private async ask(waiting: Waiting, message: string, first: string): Promise<void> {
    if (!wanted("info")) {
      return;
    }
    const reject = vscode.l10n.t("Reject");
    waiting.asked += 1;
    const answer = await vscode.window.showInformationMessage(plain(message), first, reject);
    waiting.asked -= 1;
    if (answer === reject) {
      waiting.decide(false);
    } else if (answer === vscode.l10n.t("Accept")) {
      waiting.decide(true);
    } else if (answer !== undefined && waiting === this.waiting) {
      await this.reveal();
    }
  }

  private put(params: PreviewParams, index: number): [vscode.Uri, vscode.Uri][] {
    const patch = params.patches[index];
    const files = patch === undefined ? [] : [patch, ...(patch.also ?? [])];
    return files.map((file) => {
      const original = vscode.Uri.parse(file.uri);
      // The same path: with another one the file would be shown as renamed.
      return [original, this.texts.put(original.path, file.newText, String(params.repair))];
    });
  }

  /** Show another patch in place of the one that is shown: in the same tab, if it is of one file. */
  private async turnTo(waiting: Waiting, index: number, keepFocus: boolean): Promise<void> {
    if (waiting !== this.waiting || (index === waiting.index && isOpen(waiting))) {
      return;
    }
    const before = waiting.shown;
    waiting.index = index;
    waiting.shown = this.put(waiting.params, index);
    const same = String(before) === String(waiting.shown);
    if (!same || !isOpen(waiting)) {
      await showDiff(waiting.shown, waiting.params.function, keepFocus);
      await closeTabs((tab) => shows(tab, before) && !shows(tab, waiting.shown));
    }
  }
}

/** Their buttons have nothing to decide any more; they cannot be taken back singly. */
async function hideToasts({ asked }: Waiting): Promise<void> {
  if (asked > 0) {
    await vscode.commands.executeCommand("notifications.hideToasts");
  }
}

function setContext(name: string, value: boolean): Thenable<unknown> {
  return vscode.commands.executeCommand("setContext", name, value);
}

async function showDiff(
  shown: [vscode.Uri, vscode.Uri][],
  name: string,
  preserveFocus = false,
): Promise<void> {
  const [first] = shown;
  if (first !== undefined && shown.length === 1) {
    const title = vscode.l10n.t("{0}: repair of `{1}`", path.posix.basename(first[0].path), name);
    // No tab of the passing kind: the next file that is opened would take its place.
    await vscode.commands.executeCommand("vscode.diff", ...first, title, {
      preview: false,
      preserveFocus,
      viewColumn: groupOf(shown)?.viewColumn,
    });
  } else {
    const before = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
    const resources = shown.map(([original, repaired]) => [original, original, repaired]);
    const title = vscode.l10n.t("{0} files: repair of `{1}`", shown.length, name);
    await vscode.commands.executeCommand("vscode.changes", title, resources);
    // It does not look for a tab that shows them already.
    await closeTabs((tab) => shows(tab, shown) && before.includes(tab));
  }
}

/** The pairs of texts that a tab compares. */
function sides(tab: vscode.Tab): [vscode.Uri, vscode.Uri][] {
  // A tab of several diffs; its class is not in the API of all versions that are supported.
  const several = tab.input as { textDiffs?: vscode.TabInputTextDiff[] } | undefined;
  const diffs =
    tab.input instanceof vscode.TabInputTextDiff ? [tab.input] : (several?.textDiffs ?? []);
  return diffs.map((diff) => [diff.original, diff.modified]);
}

function shows(tab: vscode.Tab, shown: [vscode.Uri, vscode.Uri][]): boolean {
  return String(sides(tab)) === String(shown);
}

function groupOf(shown: [vscode.Uri, vscode.Uri][]): vscode.TabGroup | undefined {
  return vscode.window.tabGroups.all.find((group) => group.tabs.some((tab) => shows(tab, shown)));
}

function isOpen({ shown }: Waiting): boolean {
  return groupOf(shown) !== undefined;
}

async function closeTabs(which: (tab: vscode.Tab) => boolean): Promise<void> {
  const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
  await vscode.window.tabGroups.close(tabs.filter(which));
}
