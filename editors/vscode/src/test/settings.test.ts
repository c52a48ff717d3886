import assert from "node:assert/strict";
import { test } from "node:test";
import manifest from "../../package.json";
import { explicit, section, serverSettings } from "../common/settings";

test("only what was set is sent, the nearest first", () => {
  assert.equal(explicit({ globalValue: 1, workspaceValue: 2, workspaceFolderValue: 3 }), 3);
  assert.equal(explicit({ globalValue: 1, workspaceValue: 2 }), 2);
  assert.equal(explicit({ globalValue: false }), false);
  assert.equal(explicit({}), undefined);
  assert.equal(explicit(undefined), undefined);
});

test("defaults are left out, so that pyproject.toml counts", () => {
  const set: Record<string, object> = {
    budget: { globalValue: 5 },
    model: { globalValue: null },
    adapter: { globalValue: "" }, // an empty box
  };
  const found = section(["budget", "model", "adapter", "samples"], (name) => set[name], undefined);
  assert.deepEqual(found, { budget: 5 });
});

test("the editor's interpreter stands in for a setting that is not there", () => {
  const set: Record<string, object> = { python: { workspaceValue: "mine" } };
  assert.deepEqual(
    section(["python"], (name) => set[name], "theirs"),
    { python: "mine" },
  );
  assert.deepEqual(
    section(["python"], () => undefined, "theirs"),
    { python: "theirs" },
  );
  assert.deepEqual(
    section(["python"], () => undefined, undefined),
    {},
  );
});

test("the server is not told of what it does not have", () => {
  const names = serverSettings(manifest.contributes.configuration.properties);
  assert.ok(names.includes("budget") && names.includes("python"));
  assert.deepEqual(
    names.filter((name) => /enable|serverPath|showNotifications|trace/.test(name)),
    [],
  );
});
