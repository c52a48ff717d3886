// A notification with a Cancel button for each repair: the client library shows the server's own
// progress in the status bar only, where nothing can be cancelled.

import * as vscode from "vscode";
import { plain } from "./plain";
import type { StatusParams } from "./protocol";
import { isRepair } from "./status";

export class RepairProgress {
  private current: { repair: number; report: (text: string) => void; end: () => void } | undefined;

  constructor(private readonly cancel: (repair: number) => void) {}

  update(status: StatusParams): void {
    if (!isRepair(status)) {
      this.end();
      return;
    }
    if (this.current?.repair !== status.repair) {
      this.end();
      this.begin(status.repair, status.function ?? "this file");
    }
    this.current?.report(plain(status.message));
  }

  end(): void {
    this.current?.end();
    this.current = undefined;
  }

  private begin(repair: number, name: string): void {
    let say: ((text: string) => void) | undefined;
    let last = "";
    let finish: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (finish = resolve));
    this.current = {
      repair,
      report: (text) => {
        last = text;
        say?.(text);
      },
      end: finish,
    };
    void vscode.window.withProgress(
      {
        location: vscode.ProgressLocation.Notification,
        title: `Repair with CoE: ${name}`,
        cancellable: true,
      },
      (progress, token) => {
        say = (message) => progress.report({ message });
        say(last);
        token.onCancellationRequested(() => this.cancel(repair));
        return ended;
      },
    );
  }
}
