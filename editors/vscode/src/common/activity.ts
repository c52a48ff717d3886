// What goes on, as far as people are told: the server, the tests of each file, the repair under way,
// and the diff that waits for a decision. No words and no import of vscode.

import type { State, StatusParams } from "./protocol";

/**
 * Of the server process: `missing` is none that could be found, `misnamed` that `coe.serverPath` is
 * none, `broken` one that did not start.
 */
export type Server = "starting" | "installing" | "missing" | "misnamed" | "broken" | "running";

/** What the last run of a file's tests said; without counts they could not be run. */
export interface Tested {
  message: string;
  failing?: number;
  passed?: number;
  /** Whether it is something to be mended, and no mere absence of tests. */
  problem: boolean;
}

export interface UnderWay {
  repair: number;
  function: string | undefined;
  /** Whether the model is being loaded, or something fetched first; else the repair goes on. */
  stage: "loading" | "fetching" | "repairing";
  message: string;
  /** How much of what is fetched is there, or of the repair's time is used. */
  percentage: number | undefined;
  queued: number;
}

const SECONDS_OF_A_PROBLEM = 15;

export class Activity {
  server: Server = "starting";
  version = "";
  /** The function whose repair waits for a decision. */
  waiting: string | undefined;
  underWay: UnderWay | undefined;
  /** Whether there has been a repair, of which a chain can be shown. */
  repaired = false;
  private readonly tested = new Map<string, Tested>();
  private readonly testing = new Map<string, string>();
  private problem: { message: string; until: number } | undefined;

  /** `changed` is called whenever something else is to be shown. */
  constructor(
    private readonly changed: () => void,
    private readonly now: () => number = Date.now,
  ) {}

  set(change: Partial<Pick<Activity, "server" | "version" | "waiting">>): void {
    Object.assign(this, change);
    if (change.server !== undefined && change.server !== "running") {
      this.underWay = undefined;
      this.repaired = false;
      this.tested.clear();
      this.testing.clear();
    }
    this.changed();
  }

  update(status: StatusParams): void {
    if (status.uri !== undefined) {
      this.updateFile(status.uri, status);
    } else {
      this.updateRepair(status);
    }
    this.changed();
  }

  /** The problem that was told last, for a while: whoever asked for something looks then. */
  get recentProblem(): string | undefined {
    return this.problem !== undefined && this.now() < this.problem.until
      ? this.problem.message
      : undefined;
  }

  isTesting(uri: string | undefined): string | undefined {
    return uri === undefined ? undefined : this.testing.get(uri);
  }

  of(uri: string | undefined): Tested | undefined {
    return uri === undefined ? undefined : this.tested.get(uri);
  }

  private updateFile(uri: string, status: StatusParams): void {
    if (status.state === "testing") {
      this.testing.set(uri, status.message);
      return;
    }
    this.testing.delete(uri);
    this.tested.set(uri, {
      message: status.message,
      problem: status.state === "failed",
      ...(status.failing === undefined ? {} : { failing: status.failing }),
      ...(status.passed === undefined ? {} : { passed: status.passed }),
    });
  }

  private updateRepair(status: StatusParams): void {
    this.problem = undefined;
    if (isRepair(status)) {
      this.repaired = true;
      this.underWay = {
        repair: status.repair,
        function: status.function,
        stage: stageOf(status.state),
        message: withoutName(status),
        percentage: status.percentage,
        queued: status.queued ?? 0,
      };
      return;
    }
    this.underWay = undefined;
    if (status.state === "failed") {
      this.problem = {
        message: status.message,
        until: this.now() + 1000 * SECONDS_OF_A_PROBLEM,
      };
      setTimeout(this.changed, 1000 * SECONDS_OF_A_PROBLEM + 50).unref();
    }
  }
}

/** Whether a repair is under way. */
function isRepair(status: StatusParams): status is StatusParams & { repair: number } {
  return status.repair !== undefined && status.state !== "idle" && status.state !== "failed";
}

function stageOf(state: State): UnderWay["stage"] {
  return state === "loading" || state === "fetching" ? state : "repairing";
}

/** What goes on, where the name of what is repaired is said already. */
function withoutName(status: StatusParams): string {
  const name = `${status.function ?? "repair"}: `;
  return status.message.startsWith(name) ? status.message.slice(name.length) : status.message;
}
