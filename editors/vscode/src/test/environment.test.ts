// Environments that are made, fail, or are cancelled: with the real Python and pip, or with a script
// in their place where a build must hang. See bundle.test.ts for the wheels of a release.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { type Listener, makeEnvironment, others } from "../common/environment";
import { pythonOf } from "../common/locate";

const folder = mkdtempSync(path.join(tmpdir(), "coe-"));
const env = path.join(folder, "server");
const bundle = path.join(folder, "bundle");
after(() => rm(folder, { recursive: true, force: true }));
const { signal } = new AbortController();
const posix = { skip: process.platform === "win32" };

class Record implements Listener {
  readonly steps: string[] = [];
  readonly lines: string[] = [];
  readonly done: number[] = [];
  line = (text: string) => void this.lines.push(text);
  progress = (text: string, done: number) => {
    this.steps.push(text);
    this.done.push(Math.round(100 * done));
  };
}

/** A bundle of these files; without contents where a script stands in for pip. */
function fill(...names: string[]): void {
  mkdirSync(bundle, { recursive: true });
  readdirSync(bundle).forEach((name) => rmSync(path.join(bundle, name)));
  names.forEach((name) => writeFileSync(path.join(bundle, name), ""));
}
const BARE = ["coe_lsp-1.0-py3-none-any.whl", "pip-1.0-py3-none-any.whl", "llama.cmake"];
const LLAMA = "llama_cpp_python-1.0-py3-none-any.whl";

// As a Python that makes environments, and as the environment's: `pip` and `trial` are what pip and
// the trial do.
function standIn(pip: string, trial = "exit 0"): string {
  const file = path.join(folder, "python");
  writeFileSync(
    file,
    `#!/bin/sh
if [ "$2" = venv ]; then rm -rf "$5"; mkdir -p "$5/bin"; cp "$0" "$5/bin/python"; exit 0; fi
if [ "$1" = -P ]; then
${trial}
exit 0
fi
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

test("cancelled: every process has ended and nothing is left", posix, async () => {
  fill(...BARE);
  const script = path.join(folder, "ninja.js");
  writeFileSync(script, STUBBORN);
  const python = standIn(`"${process.execPath}" "${script}"`);
  const pids: number[] = [];
  const cancel = new AbortController();
  const made = await makeEnvironment(python, env, bundle, cancel.signal, {
    ...new Record(),
    line: (line) => {
      pids.push(Number(/^compiler (\d+)/.exec(line)?.[1]));
      if (pids.length === 2) {
        assert.equal(existsSync(path.join(`${env}-tmp`, "pip-install-x")), true);
        cancel.abort();
      }
    },
  });
  assert.deepEqual(made, { state: "cancelled" });
  assert.equal(pids.length, 2);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const left = pids.filter(alive);
  left.forEach((pid) => process.kill(pid, "SIGKILL"));
  assert.deepEqual(left, []);
  assert.deepEqual(readdirSync(folder).sort(), ["bundle", "ninja.js", "python"]);
});

test("cancelled before it began", async () => {
  fill(...BARE);
  const made = await makeEnvironment("python3", env, bundle, AbortSignal.abort(), new Record());
  assert.deepEqual(made, { state: "cancelled" });
  assert.equal(existsSync(env), false);
});

test("what came along is not compiled; the steps have an end", posix, async () => {
  fill(...BARE, LLAMA);
  const said = new Record();
  const python = standIn('echo "$PIP_CONFIG_FILE $* in $TMPDIR with [$PYTHONPATH]"');
  process.env["PYTHONPATH"] = "/elsewhere";
  const made = await makeEnvironment(python, env, bundle, signal, said);
  delete process.env["PYTHONPATH"];
  assert.deepEqual(made, { state: "made" });
  assert.deepEqual(said.steps, [
    "1 of 3: making an environment",
    "2 of 3: installing what came along",
    "3 of 3: trying it out",
  ]);
  assert.deepEqual(said.done, [0, 33, 67]);
  const [pip, server] = [path.join(bundle, BARE[1]!, "pip"), path.join(bundle, BARE[0]!)];
  assert.deepEqual(said.lines, [
    `/dev/null ${pip} install --find-links ${bundle} --isolated --no-index ${server} ` +
      `in ${env}-tmp with []`,
  ]);
  assert.equal(existsSync(`${env}-tmp`), false);
  assert.equal(existsSync(pythonOf(env)), true);
  await rm(env, { recursive: true });
});

test("what does not run here is compiled, without what is not needed", posix, async () => {
  fill(...BARE, LLAMA);
  const said = new Record();
  const python = standIn(
    'case "$*" in *--no-index*) : > "$(dirname "$0")/old";; ' +
      '*) echo "$CMAKE_ARGS"; echo "[1/4] cc"; echo "[4/4] ld";; esac',
    'if [ -e "$(dirname "$0")/old" ]; then echo "libgomp is missing"; exit 1; fi',
  );
  process.env["CMAKE_ARGS"] = "-DMINE=1";
  const made = await makeEnvironment(python, env, bundle, signal, said);
  delete process.env["CMAKE_ARGS"];
  assert.deepEqual(made, { state: "made" });
  assert.deepEqual(said.lines.slice(0, 2), [
    "libgomp is missing",
    "The server was installed, but does not start: libgomp is missing",
  ]);
  const compiling = "2 of 3: compiling llama.cpp, which takes some minutes";
  assert.deepEqual(said.steps.slice(3), [
    "1 of 3: making an environment",
    compiling,
    `${compiling} (1 of 4 files)`,
    `${compiling} (4 of 4 files)`,
    "3 of 3: trying it out",
  ]);
  assert.deepEqual(said.done.slice(4), [33, 42, 67, 67]);
  assert.ok(said.lines.includes(`"-DCMAKE_PROJECT_INCLUDE=${bundle}/llama.cmake" -DMINE=1`));
  await rm(env, { recursive: true });
});

test("an environment of another version is known; its scratch folder is none", () => {
  const storage = path.join(folder, "storage");
  assert.deepEqual(others(path.join(storage, "server-0.2.0")), []);
  for (const name of ["server", "server-0.1.0", "server-0.2.0", "server-0.1.0-tmp", "state"]) {
    mkdirSync(path.join(storage, name), { recursive: true });
  }
  const names = others(path.join(storage, "server-0.2.0")).map((one) => path.basename(one));
  assert.deepEqual(names, ["server", "server-0.1.0"]);
});

const FAILURES: [string, RegExp][] = [
  ["echo CMake Error: CMAKE_CXX_COMPILER not set", /no C\+\+ compiler. Install one/],
  ["echo 'ERROR: No matching distribution found for pygls>=2.1'", /index cannot be reached/],
  ["echo 'OSError: [Errno 28] No space left on device'", /disk is full/],
  ["echo something; echo odd", /python failed: odd$/],
];
for (const [pip, said] of FAILURES) {
  test(`pip fails, nothing stays, what to do is said: ${said}`, posix, async () => {
    fill(...BARE);
    const python = standIn(`${pip}; exit 1`);
    const made = await makeEnvironment(python, env, bundle, signal, new Record());
    assert.match(made.state === "failed" ? made.failed : made.state, said);
    assert.deepEqual([existsSync(env), existsSync(`${env}-tmp`)], [false, false]);
  });
}

test("nothing came along", async () => {
  const nowhere = path.join(folder, "nowhere");
  const made = await makeEnvironment("python3", env, nowhere, signal, new Record());
  assert.match(made.state === "failed" ? made.failed : "", /has no server in it/);
});

test("no Python there, or one that makes no environments", async () => {
  fill(...BARE);
  const none = path.join(folder, "none");
  const made = await makeEnvironment(none, env, bundle, signal, new Record());
  assert.match(made.state === "failed" ? made.failed : "", /none failed: .*ENOENT/);
  if (process.platform !== "win32") {
    const bare = path.join(folder, "bare");
    writeFileSync(bare, "#!/bin/sh\necho \"$0: No module named venv\" >&2; exit 1\n");
    chmodSync(bare, 0o755);
    const without = await makeEnvironment(bare, env, bundle, signal, new Record());
    assert.match(without.state === "failed" ? without.failed : "", /apt install python3-venv/);
  }
});

// The real Python and its pip, which comes with ensurepip; a server of two empty modules.
const MAKE_WHEELS = String.raw`
import ensurepip, pathlib, shutil, sys, zipfile
folder = pathlib.Path(sys.argv[1])
shutil.copy(next(pathlib.Path(ensurepip.__path__[0]).glob("_bundled/pip-*.whl")), folder)
def wheel(name, requires, files):
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as file:
        info = f"{name}-1.0.dist-info"
        named = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        file.writestr(f"{info}/METADATA", named + requires)
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        file.writestr(f"{info}/WHEEL", tags)
        file.writestr(f"{info}/RECORD", "")
        for path, text in files.items():
            file.writestr(path, text)
lib = "class lib:\n  llama_backend_init = print\n"
lib += "  llama_print_system_info = staticmethod(lambda: b'AVX2 = 1')\n"
wheel("coe_lsp", "Requires-Dist: llama-cpp-python\n", {
    "coe_lsp/__init__.py": "", "coe_lsp/lsp/__init__.py": "", "coe_lsp/lsp/serve.py": "",
    "coe_lsp/engine/__init__.py": "", "coe_lsp/engine/binding.py": lib,
})
wheel("llama_cpp_python", "", {})
`;
const PYTHON = process.env["PYTHON"] ?? (process.platform === "win32" ? "python" : "python3");

test("the real pip installs from the bundle, whatever the user has told pip", async () => {
  fill();
  execFileSync(PYTHON, ["-c", MAKE_WHEELS, bundle]);
  process.env["PIP_INDEX_URL"] = "http://127.0.0.1:9/";
  process.env["PIP_NO_BINARY"] = ":all:";
  const said = new Record();
  const made = await makeEnvironment(PYTHON, env, bundle, signal, said);
  delete process.env["PIP_INDEX_URL"];
  delete process.env["PIP_NO_BINARY"];
  assert.deepEqual(made, { state: "made" }, said.lines.join("\n"));
  assert.equal(said.steps.length, 3);
  assert.equal(said.lines.at(-1), "AVX2 = 1");
  await rm(env, { recursive: true });
});
