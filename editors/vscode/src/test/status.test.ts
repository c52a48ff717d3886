import assert from "node:assert/strict";
import { test } from "node:test";
import { isRepair, shown } from "../common/status";

test("the status bar says state, turn and queue", () => {
  assert.equal(shown({ state: "idle", message: "m" }).text, "$(check) CoE");
  const repairing = shown({ state: "repairing", message: "m", repair: 1, turn: 3, queued: 2 });
  assert.equal(repairing.text, "$(sync~spin) CoE repairing turn 3 (+2)");
  assert.equal(shown({ state: "failed", message: "why" }).tooltip, "why\nClick for the log.");
});

test("a repair that tests or loads is a repair; one that ended is none", () => {
  assert.equal(isRepair({ state: "testing", message: "", repair: 1 }), true);
  assert.equal(isRepair({ state: "loading", message: "", repair: 1 }), true);
  assert.equal(isRepair({ state: "testing", message: "" }), false);
  assert.equal(isRepair({ state: "idle", message: "", repair: 1 }), false);
});
