// As much of the Python extension's API as ours uses: the interpreter is what the file says that
// COE_CHOSEN names, and changes when it is written.
const fs = require("node:fs");
const vscode = require("vscode");

exports.activate = () => {
  const file = process.env.COE_CHOSEN;
  const changed = new vscode.EventEmitter();
  const chosen = () => fs.readFileSync(file, "utf8").trim();
  fs.watchFile(file, { interval: 100 }, () => changed.fire({ id: chosen(), path: chosen() }));
  return {
    environments: {
      getActiveEnvironmentPath: () => ({ id: chosen(), path: chosen() }),
      onDidChangeActiveEnvironmentPath: changed.event,
    },
  };
};
