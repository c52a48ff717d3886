// The words of the status bar item and of the language status item. A check mark says that all tests
// of the file in front pass, and nothing else does.

import { l10n } from "vscode";
import type { Activity, Tested, UnderWay } from "./activity";
import { plain } from "./plain";

export interface Shown {
  text: string;
  /** What goes on, in a sentence. */
  detail: string;
  severity: "information" | "warning" | "error";
  busy: boolean;
  /** Whether something waits for the user. */
  waits: boolean;
}

const CALM: Omit<Shown, "text" | "detail"> = {
  severity: "information",
  busy: false,
  waits: false,
};

/** `file` is the address of the Python file in front, if there is one. */
export function shown(activity: Activity, file: string | undefined): Shown {
  return (
    ofServer(activity) ??
    ofDecision(activity) ??
    (activity.underWay && ofRepair(activity.underWay)) ??
    ofProblem(activity) ??
    ofTesting(activity, file) ??
    ofFile(activity.of(file), activity.version)
  );
}

function ofServer({ server }: Activity): Shown | undefined {
  switch (server) {
    case "running":
      return undefined;
    case "starting":
      return say("$(loading~spin)", l10n.t("starting"), l10n.t("The server is being started."), {
        busy: true,
      });
    case "installing":
      return say(
        "$(loading~spin)",
        l10n.t("installing"),
        l10n.t("The server is being installed."),
        { busy: true },
      );
    case "missing":
      return say("$(warning)", l10n.t("no server"), l10n.t("There is no server yet."), {
        severity: "warning",
      });
    case "misnamed":
      return say(
        "$(warning)",
        l10n.t("no server"),
        l10n.t("What coe.serverPath names is no server."),
        { severity: "error" },
      );
    case "broken":
      return say(
        "$(warning)",
        l10n.t("no server"),
        l10n.t("The server could not be started: see the log."),
        { severity: "error" },
      );
  }
}

function ofDecision({ waiting }: Activity): Shown | undefined {
  return waiting === undefined
    ? undefined
    : say(
        "$(diff)",
        l10n.t("repair waits"),
        l10n.t("The repair of `{0}` waits for your decision.", plain(waiting)),
        { waits: true },
      );
}

const STAGES: Record<UnderWay["stage"], [icon: string, words: () => string]> = {
  loading: ["$(loading~spin)", () => l10n.t("loading")],
  fetching: ["$(cloud-download)", () => l10n.t("fetching")],
  repairing: ["$(sync~spin)", () => l10n.t("repairing")],
};

function ofRepair(repair: UnderWay): Shown {
  const percentage = repair.percentage === undefined ? "" : ` ${Math.round(repair.percentage)}%`;
  const queued = repair.queued === 0 ? "" : ` (+${repair.queued})`;
  const name = repair.function === undefined ? "" : `${plain(repair.function)}: `;
  const [icon, words] = STAGES[repair.stage];
  return say(icon, `${words()}${percentage}${queued}`, name + plain(repair.message), { busy: true });
}

function ofProblem({ recentProblem }: Activity): Shown | undefined {
  return recentProblem === undefined
    ? undefined
    : say("$(warning)", l10n.t("not repaired"), plain(recentProblem), { severity: "warning" });
}

function ofTesting(activity: Activity, file: string | undefined): Shown | undefined {
  const message = activity.isTesting(file);
  return message === undefined
    ? undefined
    : say("$(loading~spin)", l10n.t("testing"), plain(message), { busy: true });
}

function ofFile(tested: Tested | undefined, version: string): Shown {
  if (tested === undefined) {
    return say("$(beaker)", "", `coe-lsp ${version}`);
  }
  const message = plain(tested.message);
  if (tested.problem) {
    return say("$(warning)", l10n.t("not tested"), message, { severity: "warning" });
  }
  if (tested.failing) {
    return say("$(error)", l10n.t("{0} failing", tested.failing), message, { severity: "error" });
  }
  return say(tested.passed ? "$(check)" : "$(beaker)", "", message);
}

function say(
  icon: string,
  words: string,
  detail: string,
  more: Partial<Pick<Shown, "severity" | "busy" | "waits">> = {},
): Shown {
  return { ...CALM, text: words ? `${icon} CoE: ${words}` : `${icon} CoE`, detail, ...more };
}
