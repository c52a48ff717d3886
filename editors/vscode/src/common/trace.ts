// The log as the client library wants it for `coe.trace.server`: it traces only where a log's level
// is "trace", which the setting alone would not make it.

import * as vscode from "vscode";

/** The log, with the level "trace" while the setting says so. */
export function traced(log: vscode.LogOutputChannel): vscode.LogOutputChannel & vscode.Disposable {
  const changed = new vscode.EventEmitter<vscode.LogLevel>();
  const level = () => {
    const set = vscode.workspace.getConfiguration("coe").get<string>("trace.server") ?? "off";
    return set === "off" ? log.logLevel : vscode.LogLevel.Trace;
  };
  const parts = vscode.Disposable.from(
    changed,
    log.onDidChangeLogLevel(() => changed.fire(level())),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("coe.trace.server")) {
        changed.fire(level());
      }
    }),
  );
  return {
    name: log.name,
    get logLevel() {
      return level();
    },
    onDidChangeLogLevel: changed.event,
    // What is wanted is written, whatever the level of the log.
    trace: (message, ...more) => log.info(message, ...more),
    debug: (message, ...more) => log.debug(message, ...more),
    info: (message, ...more) => log.info(message, ...more),
    warn: (message, ...more) => log.warn(message, ...more),
    error: (message, ...more) => log.error(message, ...more),
    append: (text) => log.append(text),
    appendLine: (text) => log.appendLine(text),
    replace: (text) => log.replace(text),
    clear: () => log.clear(),
    show: () => log.show(),
    hide: () => log.hide(),
    dispose: () => parts.dispose(),
  };
}
