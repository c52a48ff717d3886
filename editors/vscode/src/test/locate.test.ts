import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { candidates, locate, pythonOf, pythonVersion } from "../common/locate";

const folder = mkdtempSync(path.join(tmpdir(), "coe-"));

function program(name: string, says: string): string {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\necho "${says}"\n`);
  chmodSync(file, 0o755);
  return file;
}

test("a path that was set is the only one tried", () => {
  assert.deepEqual(
    candidates("/x/coe-lsp", "/p", folder).map((c) => c.origin),
    ["setting"],
  );
});

test("the environment comes before PATH, the private one last and only if it is there", () => {
  const origins = (where: string) => candidates(undefined, "/p", where).map((c) => c.origin);
  assert.deepEqual(origins(path.join(folder, "none")), ["environment", "path"]);
  const own = path.join(folder, "own");
  program(path.relative(folder, pythonOf(own)), "coe-lsp 1.2.3");
  assert.deepEqual(origins(own), ["environment", "path", "private"]);
});

test("the first that answers as coe-lsp does is taken", async () => {
  const wrong = program("wrong", "something else 1.0");
  const right = program("right", "coe-lsp 0.1.0");
  const lines: string[] = [];
  const say = (line: string) => lines.push(line);
  const found = await locate(
    [path.join(folder, "missing"), wrong, right].map((command) => ({
      origin: "path" as const,
      command,
      args: [],
    })),
    say,
  );
  assert.equal(found?.command, right);
  assert.equal(found?.version, "0.1.0");
  assert.match(lines[0] ?? "", /^no coe-lsp \(path\): .*ENOENT/);
  assert.match(lines[1] ?? "", /wrong answers "something else 1.0/);
  assert.equal(lines.length, 2);
  assert.equal(await locate([], say), undefined);
});

test("Python's version", async () => {
  assert.deepEqual(await pythonVersion(program("python", "3 12")), [3, 12]);
  assert.equal(await pythonVersion(path.join(folder, "missing")), undefined);
});
