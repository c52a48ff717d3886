// A notification with a Cancel button for each repair: the client library shows the server's own
// progress in the status bar only, where nothing can be cancelled.

import * as vscode from "vscode";
import type { UnderWay } from "./activity";
import { plain } from "./plain";

interface Shown {
  repair: number;
  report: (message: string, percentage: number | undefined) => void;
  end: () => void;
}

export class RepairProgress {
  private current: Shown | undefined;

  constructor(private readonly cancel: (repair: number) => void) {}

  update(underWay: UnderWay | undefined): void {
    if (this.current?.repair !== underWay?.repair) {
      this.current?.end();
      this.current = underWay && this.begin(underWay.repair, underWay.function);
    }
    if (underWay !== undefined) {
      // The bar never goes back: it is the time of the repair alone, and what is fetched is in words.
      const share = underWay.stage === "repairing" ? underWay.percentage : undefined;
      this.current?.report(plain(underWay.message), share);
    }
  }

  private begin(repair: number, name: string | undefined): Shown {
    let say: Shown["report"] | undefined;
    let last: Parameters<Shown["report"]> = ["", undefined];
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    void vscode.window.withProgress(
      {
        location: vscode.ProgressLocation.Notification,
        title: vscode.l10n.t(
          "Repair with CoE: {0}",
          name === undefined ? vscode.l10n.t("this file") : plain(name),
        ),
        cancellable: true,
      },
      (progress, token) => {
        let reached = 0;
        say = (message, percentage) => {
          const increment = Math.max((percentage ?? 0) - reached, 0);
          reached += increment;
          progress.report(increment > 0 ? { message, increment } : { message });
        };
        say(...last);
        token.onCancellationRequested(() => this.cancel(repair));
        return ended;
      },
    );
    const report: Shown["report"] = (...given) => {
      last = given;
      say?.(...given);
    };
    return { repair, report, end };
  }
}
