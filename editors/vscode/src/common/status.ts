// The words of the status bar item. No import of vscode.

import { plain } from "./plain";
import type { State, StatusParams } from "./protocol";

const ICONS: Record<State, string> = {
  idle: "$(check)",
  testing: "$(beaker)",
  loading: "$(cloud-download)",
  repairing: "$(sync~spin)",
  failed: "$(warning)",
};

export interface Shown {
  text: string;
  tooltip: string;
}

export function shown(status: StatusParams): Shown {
  const turn = status.state === "repairing" && status.turn ? ` turn ${status.turn}` : "";
  const words: Record<State, string> = {
    idle: "",
    testing: " testing",
    loading: " loading",
    repairing: ` repairing${turn}`,
    failed: " failed",
  };
  const queued = status.queued ? ` (+${status.queued})` : "";
  return {
    text: `${ICONS[status.state]} CoE${words[status.state]}${queued}`,
    tooltip: `${plain(status.message)}\nClick for the log.`,
  };
}

/** Whether a repair is under way, so that a notification with a Cancel button is wanted. */
export function isRepair(status: StatusParams): status is StatusParams & { repair: number } {
  return status.repair !== undefined && status.state !== "idle" && status.state !== "failed";
}
