import assert from "node:assert/strict";
import { test } from "node:test";
import { changedCode } from "../common/diff";

test("the new lines in one, else those that go", () => {
  const head = "--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,2 @@\n def f():\n";
  assert.equal(changedCode(`${head}-    return 1\n+    return 2\n`), "return 2");
  assert.equal(changedCode(`${head}+    a = 1\n+\n+    b = 2\n`), "a = 1; b = 2");
  assert.equal(changedCode(`${head}-    return 1\n`), "- return 1");
  assert.equal(changedCode(`${head}+${"x".repeat(200)}\n`).length, 100);
  assert.equal(changedCode(""), "");
});
