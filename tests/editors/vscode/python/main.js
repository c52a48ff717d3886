// As much of the Python extension as ours uses: the interpreter is what the file says that COE_CHOSEN
// names, and changes when it is written; and the tests are in the Test Explorer.
const fs = require("node:fs");
const vscode = require("vscode");

async function showTests() {
  const controller = vscode.tests.createTestController("python-tests", "Python Tests");
  for (const uri of await vscode.workspace.findFiles("tests/test_*.py")) {
    const file = controller.createTestItem(uri.path, uri.path.split("/").pop(), uri);
    fs.readFileSync(uri.fsPath, "utf8")
      .split("\n")
      .forEach((line, row) => {
        const name = /^def (test_\w+)/.exec(line)?.[1];
        if (name) {
          const test = controller.createTestItem(`${uri.path}::${name}`, name, uri);
          test.range = new vscode.Range(row, 0, row + 1, 0);
          file.children.add(test);
        }
      });
    controller.items.add(file);
  }
}

exports.activate = () => {
  void showTests();
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
