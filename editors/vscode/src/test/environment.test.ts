import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { makeEnvironment } from "../common/environment";

const folder = mkdtempSync(path.join(tmpdir(), "coe-"));
const env = path.join(folder, "server");
after(() => rm(folder, { recursive: true, force: true }));

// As a Python that makes environments, and as the environment's, whose pip starts what `pip` says.
function standIn(pip: string): string {
  const file = path.join(folder, "python");
  writeFileSync(
    file,
    `#!/bin/sh
if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; exit 0; fi
mkdir "$TMPDIR/pip-install-x"
${pip}
`,
  );
  chmodSync(file, 0o755);
  return file;
}

// A build tool whose compiler has a group of its own, as ninja's have, and cannot be told to stop.
const STUBBORN = `
const { spawn } = require("node:child_process");
const deaf = "for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(name, () => 0);" +
  "require('node:fs').writeFileSync(process.env.TMPDIR + '/object', '');" +
  "console.log('compiler ' + process.pid); setInterval(() => 0, 1000);";
for (const detached of [true, false]) {
  spawn(process.execPath, ["-e", deaf], { stdio: "inherit", detached });
}
setInterval(() => 0, 1000);
`;

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // Ended, but nobody asks for its status.
  const stat = existsSync("/proc") ? readFileSync(`/proc/${pid}/stat`, "utf8") : "";
  return !/\) [ZX] /.test(stat);
}

test(
  "cancelled: every process has ended and nothing is left",
  { skip: process.platform === "win32" },
  async () => {
    const script = path.join(folder, "ninja.js");
    writeFileSync(script, STUBBORN);
    const python = standIn(`"${process.execPath}" "${script}"`);
    const pids: number[] = [];
    const cancel = new AbortController();
    const made = await makeEnvironment(python, env, "coe-lsp", cancel.signal, (line) => {
      pids.push(Number(/^compiler (\d+)/.exec(line)?.[1]));
      if (pids.length === 2) {
        assert.equal(existsSync(path.join(`${env}-tmp`, "pip-install-x")), true);
        cancel.abort();
      }
    });
    assert.equal(made, false);
    assert.equal(pids.length, 2);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const left = pids.filter(alive);
    left.forEach((pid) => process.kill(pid, "SIGKILL"));
    assert.deepEqual(left, []);
    assert.deepEqual(readdirSync(folder).sort(), ["ninja.js", "python"]);
  },
);

test("cancelled before it began", async () => {
  const made = await makeEnvironment(
    "python3",
    env,
    "coe-lsp",
    AbortSignal.abort(),
    () => undefined,
  );
  assert.equal(made, false);
  assert.equal(existsSync(env), false);
});

test("made: only the environment stays", { skip: process.platform === "win32" }, async () => {
  const said: string[] = [];
  const python = standIn('echo "installs $5, builds in $TMPDIR"');
  const { signal } = new AbortController();
  assert.equal(
    await makeEnvironment(python, env, "the.whl", signal, (line) => said.push(line)),
    true,
  );
  assert.deepEqual(said, [`installs the.whl, builds in ${env}-tmp`]);
  assert.equal(existsSync(`${env}-tmp`), false);
  assert.equal(existsSync(path.join(env, "bin/python")), true);
});

test("failed: nothing stays, and the reason was said", async () => {
  const said: string[] = [];
  const line = (text: string) => said.push(text);
  const { signal } = new AbortController();
  if (process.platform !== "win32") {
    assert.equal(
      await makeEnvironment(standIn("echo no >&2; exit 1"), env, "w", signal, line),
      false,
    );
    assert.deepEqual(said, ["no"]);
  }
  assert.equal(await makeEnvironment(path.join(folder, "none"), env, "w", signal, line), false);
  assert.match(said.at(-1) ?? "", /ENOENT/);
  assert.deepEqual([existsSync(env), existsSync(`${env}-tmp`)], [false, false]);
});
