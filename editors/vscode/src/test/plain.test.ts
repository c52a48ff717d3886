import assert from "node:assert/strict";
import { test } from "node:test";
import { plain } from "../common/plain";

test("one line, nothing invisible, nothing that runs", () => {
  assert.equal(
    plain("  clamp is repaired:\n5 tests passed. "),
    "clamp is repaired: 5 tests passed.",
  );
  assert.equal(plain("a\u001b[31m\u0007\u0000b"), "a\\x1b[31m\\x07\\x00b");
  assert.equal(plain("x\u202ey\ufeff\u2028z"), "x\\u{202e}y\\u{feff}\\u{2028}z");
  assert.equal(plain("👩‍💻 Überlauf"), "👩‍💻 Überlauf");
  // What VS Code takes for a link (vs/base/common/linkedText).
  const link = /\[([^\]]+)\]\(((?:https?:\/\/|command:|file:)[^)\s]+)(?: (["'])(.+?)(\3))?\)/i;
  const hostile = "test[[x](command:workbench.action.quit)]";
  assert.match(hostile, link);
  assert.doesNotMatch(plain(hostile), link);
});
