// The wheels of a release are installed as the extension does it, without network. COE_BUNDLE is
// their folder (.ci/release/build.py sets it), PYTHON the interpreter.

import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { makeEnvironment } from "../common/environment";
import { type Candidate, pythonOf, versionOf } from "../common/locate";

const bundle = process.env["COE_BUNDLE"];
const python = process.env["PYTHON"] ?? "python3";

test("the server is installed offline from what came along", { skip: !bundle }, async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "coe-"));
  const env = path.join(folder, "server");
  // Whoever asks for something from the network is refused at once.
  for (const name of ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"]) {
    process.env[name] = "http://127.0.0.1:9";
  }
  try {
    const steps: string[] = [];
    const said: string[] = [];
    const begin = performance.now();
    const made = await makeEnvironment(python, env, bundle ?? "", new AbortController().signal, {
      progress: (text) => steps.push(text),
      line: (text) => said.push(text),
    });
    const seconds = ((performance.now() - begin) / 1000).toFixed(1);
    console.log(`installed in ${seconds} s; ${said.at(-1)}`);
    assert.deepEqual(made, { state: "made" }, said.join("\n"));
    assert.equal(steps.length, 3, "nothing was compiled");
    const args = ["-P", "-m", "coe_lsp"];
    const server: Candidate = { origin: "private", command: pythonOf(env), args };
    assert.match(await versionOf(server), /^\d+\.\d+\.\d+/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
