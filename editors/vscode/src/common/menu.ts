// The menu of the status bar item: what can be done now, the likeliest first.

import { l10n } from "vscode";
import type { Activity } from "./activity";
import { plain } from "./plain";

export interface Entry {
  label: string;
  description?: string;
  command: string;
  arguments?: string[];
}

const SETTINGS = "@ext:coe-lsp.coe-lsp";

/**
 * `file` is the address of the Python file in front, if there is one; `seen` says whether the repair
 * that waits is in front.
 */
export function entries(activity: Activity, file: string | undefined, seen: boolean): Entry[] {
  const about = [
    { label: `$(output) ${l10n.t("Show log")}`, command: "coe.showLog" },
    {
      label: `$(gear) ${l10n.t("Settings")}`,
      command: "workbench.action.openSettings",
      arguments: [SETTINGS],
    },
  ];
  switch (activity.server) {
    case "starting":
    case "installing":
      return about;
    case "missing":
    case "misnamed":
    case "broken":
      return [...ofNoServer(activity), ...about];
    case "running":
      return [
        ...ofDecision(activity, seen),
        ...ofRepair(activity),
        ...ofFile(activity, file),
        ...(activity.repaired
          ? [
              {
                label: `$(list-ordered) ${l10n.t("Show last chain of edits")}`,
                command: "coe.showLastChain",
              },
            ]
          : []),
        { label: `$(pulse) ${l10n.t("Check installation")}`, command: "coe.showDoctor" },
        ...about,
        { label: `$(refresh) ${l10n.t("Restart server")}`, command: "coe.restartServer" },
      ];
  }
}

function ofNoServer(activity: Activity): Entry[] {
  return [
    activity.server === "misnamed"
      ? {
          label: `$(cloud-download) ${l10n.t("Clear the setting and install")}`,
          description: l10n.t("the server, into an environment of its own"),
          command: "coe.clearPathAndInstall",
        }
      : {
          label: `$(cloud-download) ${l10n.t("Install the server")}`,
          description: l10n.t("into an environment of its own"),
          command: "coe.installServer",
        },
    { label: `$(refresh) ${l10n.t("Look for the server again")}`, command: "coe.restartServer" },
    {
      label: `$(folder) ${l10n.t("Say where the server is")}`,
      command: "workbench.action.openSettings",
      arguments: ["coe.serverPath"],
    },
  ];
}

function ofDecision({ waiting }: Activity, seen: boolean): Entry[] {
  if (waiting === undefined) {
    return [];
  }
  const name = plain(waiting);
  return [
    ...(seen
      ? []
      : [
          { label: `$(diff) ${l10n.t("Show the repair of `{0}`", name)}`, command: "coe.showRepair" },
        ]),
    { label: `$(check) ${l10n.t("Accept the repair of `{0}`", name)}`, command: "coe.accept" },
    { label: `$(close) ${l10n.t("Reject the repair of `{0}`", name)}`, command: "coe.reject" },
  ];
}

function ofRepair({ underWay }: Activity): Entry[] {
  if (underWay === undefined) {
    return [];
  }
  return [
    {
      label: `$(debug-stop) ${
        underWay.function === undefined
          ? l10n.t("Cancel the repair")
          : l10n.t("Cancel the repair of `{0}`", plain(underWay.function))
      }`,
      description: plain(underWay.message),
      command: "coe.cancelRepairs",
    },
  ];
}

function ofFile(activity: Activity, file: string | undefined): Entry[] {
  if (file === undefined) {
    return [];
  }
  const tested = activity.of(file);
  const found: Entry[] = [];
  if (tested?.failing && activity.underWay === undefined && activity.waiting === undefined) {
    found.push({
      label: `$(sparkle) ${l10n.t("Repair what fails in this file")}`,
      description: plain(tested.message),
      command: "coe.repairThisFile",
    });
  }
  if (activity.isTesting(file) === undefined) {
    found.push({ label: `$(beaker) ${l10n.t("Run this file's tests")}`, command: "coe.runTests" });
  }
  return found;
}
