import assert from "node:assert/strict";
import { test } from "node:test";
import { Activity } from "../common/activity";
import { entries } from "../common/menu";
import { shown } from "../common/status";

const FILE = "file:///ranges.py";

function running(): Activity {
  const activity = new Activity(() => undefined);
  activity.set({ server: "running", version: "1.2" });
  return activity;
}

const text = (activity: Activity, file: string | undefined = FILE) => shown(activity, file).text;
const commands = (activity: Activity, file: string | undefined = FILE, seen = false) =>
  entries(activity, file, seen).map((entry) => entry.command.replace(/^coe\./, ""));

test("a check mark says that all tests of the file in front pass", () => {
  const activity = running();
  assert.equal(text(activity), "$(beaker) CoE");
  activity.update({ state: "testing", message: "testing ranges.py", uri: FILE });
  assert.equal(text(activity), "$(loading~spin) CoE: testing");
  activity.update({ state: "idle", message: "1 passed", uri: FILE, passed: 1, failing: 2 });
  assert.equal(text(activity), "$(error) CoE: 2 failing");
  assert.equal(shown(activity, FILE).severity, "error");
  assert.equal(text(activity, "file:///other.py"), "$(beaker) CoE");
  activity.update({ state: "idle", message: "3 passed", uri: FILE, passed: 3, failing: 0 });
  assert.equal(text(activity), "$(check) CoE");
  activity.update({ state: "idle", message: "No tests were found.", uri: FILE });
  assert.equal(text(activity), "$(beaker) CoE");
  activity.update({ state: "failed", message: "no pytest", uri: FILE });
  assert.equal(text(activity), "$(warning) CoE: not tested");
  assert.equal(shown(activity, FILE).detail, "no pytest");
  assert.equal(text(activity, "file:///other.py"), "$(beaker) CoE");
});

test("a repair says how far it is, and its name once", () => {
  const activity = running();
  activity.update({ state: "idle", message: "", uri: FILE, passed: 0, failing: 1 });
  activity.update({ state: "testing", message: "clamp: trying", repair: 1, function: "clamp" });
  assert.equal(text(activity), "$(sync~spin) CoE: repairing");
  assert.equal(shown(activity, FILE).detail, "clamp: trying");
  assert.equal(activity.underWay?.message, "trying");
  const more = { repair: 1, function: "clamp", percentage: 41.6, queued: 2 };
  activity.update({ state: "repairing", message: "clamp: trying", ...more });
  assert.equal(text(activity), "$(sync~spin) CoE: repairing 42% (+2)");
  activity.update({ state: "loading", message: "clamp: loading the model", repair: 1 });
  assert.equal(text(activity), "$(loading~spin) CoE: loading"); // no share of the repair's time
  activity.update({ state: "fetching", message: "clamp: fetching", repair: 1, percentage: 10 });
  assert.equal(text(activity), "$(cloud-download) CoE: fetching 10%");
  activity.update({ state: "testing", message: "testing", uri: FILE });
  assert.equal(activity.underWay?.repair, 1); // a check meanwhile does not end it
  activity.update({ state: "idle", message: "clamp: cancelled" });
  assert.equal(activity.underWay, undefined);
});

test("what went wrong is told for a while, and the next repair takes it away at once", () => {
  let now = 0;
  const activity = new Activity(
    () => undefined,
    () => now,
  );
  activity.set({ server: "running" });
  activity.update({ state: "idle", message: "", uri: FILE, passed: 0, failing: 1 });
  activity.update({ state: "failed", message: "No repair was found." });
  assert.equal(text(activity), "$(warning) CoE: not repaired");
  assert.equal(shown(activity, FILE).detail, "No repair was found.");
  now = 16000;
  assert.equal(text(activity), "$(error) CoE: 1 failing");
  activity.update({ state: "failed", message: "No repair was found." });
  activity.update({ state: "testing", message: "", repair: 2 });
  activity.update({ state: "idle", message: "" });
  assert.equal(text(activity), "$(error) CoE: 1 failing");
});

test("a decision that waits is said before all else", () => {
  const activity = running();
  activity.set({ waiting: "clamp" });
  activity.update({ state: "testing", message: "", uri: FILE });
  assert.equal(text(activity), "$(diff) CoE: repair waits");
  assert.equal(shown(activity, FILE).waits, true);
  assert.deepEqual(commands(activity).slice(0, 3), ["showRepair", "accept", "reject"]);
  const [entry] = entries(activity, FILE, false);
  assert.equal(entry?.label, "$(diff) Show the repair of `clamp`");
  assert.deepEqual(commands(activity, FILE, true).slice(0, 2), ["accept", "reject"]);
  activity.set({ waiting: undefined });
  assert.equal(text(activity), "$(loading~spin) CoE: testing");
});

test("the menu has what makes sense now", () => {
  const activity = new Activity(() => undefined);
  activity.set({ server: "missing" });
  assert.equal(text(activity), "$(warning) CoE: no server");
  assert.deepEqual(commands(activity)[0], "installServer");
  assert.ok(!commands(activity).includes("runTests"));
  activity.set({ server: "misnamed" });
  assert.equal(text(activity), "$(warning) CoE: no server");
  assert.match(shown(activity, FILE).detail, /coe\.serverPath/);
  assert.deepEqual(commands(activity)[0], "clearPathAndInstall");
  assert.ok(!commands(activity).includes("installServer"));
  activity.set({ server: "installing" });
  assert.equal(text(activity), "$(loading~spin) CoE: installing");
  assert.ok(!commands(activity).includes("installServer"));
  activity.set({ server: "running" });
  assert.equal(commands(activity)[0], "runTests");
  assert.ok(!commands(activity, undefined).includes("repairThisFile"));
  activity.update({ state: "idle", message: "", uri: FILE, passed: 1, failing: 1 });
  assert.deepEqual(commands(activity).slice(0, 2), ["repairThisFile", "runTests"]);
  assert.ok(!commands(activity).includes("showLastChain"));
  activity.update({ state: "repairing", message: "", repair: 1, function: "clamp" });
  assert.equal(commands(activity)[0], "cancelRepairs");
  assert.ok(!commands(activity).includes("repairThisFile"));
  assert.ok(commands(activity).includes("showLastChain"));
});

test("a server that is started anew knows nothing yet", () => {
  const activity = running();
  activity.update({ state: "idle", message: "", uri: FILE, passed: 1, failing: 1 });
  activity.set({ server: "starting" });
  activity.set({ server: "running" });
  assert.equal(text(activity), "$(beaker) CoE");
});
