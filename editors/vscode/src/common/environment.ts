// Makes an environment with the server in it, or leaves nothing behind. Of vscode nothing but the
// translations.
//
// The wheels that came along are tried first: that needs neither network nor compiler. Where they
// do not fit (another Python, another system), the rest is fetched and llama.cpp is compiled. What
// was installed must run before it counts.

import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { devNull } from "node:os";
import * as path from "node:path";
import { l10n } from "vscode";
import { failure } from "./failures";
import { pythonOf } from "./locate";
import { follow } from "./processes";

/** `failed` is for people, and says what to do. */
export type Made = { state: "made" | "cancelled" } | { state: "failed"; failed: string };

export interface Listener {
  /** Which step it is at, as "2 of 3: ...", and how much of all is done, from 0 to 1. */
  progress(text: string, done: number): void;
  /** What the programs say. */
  line(text: string): void;
}

interface Command {
  step: "environment" | "install" | "trial";
  text: string;
  command: string;
  args: string[];
  env?: NodeJS.ProcessEnv;
}

// Loads all that a repair loads. A library that is missing and a processor that is too old for the
// compiled code show here, not in the middle of a repair.
const TRIAL = `
import coe_lsp.lsp.serve
from coe_lsp.engine.binding import lib
lib.llama_backend_init()
print(lib.llama_print_system_info().decode())
`;

/** If it is not made, the folder is gone again. `bundle` is the folder of the wheels. */
export async function makeEnvironment(
  python: string,
  folder: string,
  bundle: string,
  signal: AbortSignal,
  listener: Listener,
): Promise<Made> {
  // Builds go where they can be found and removed: pip that is ended by force tidies nothing.
  const scratch = `${folder}-tmp`;
  let made: Made = {
    state: "failed",
    failed: l10n.t(
      "This copy of the extension has no server in it: install the extension from a .vsix.",
    ),
  };
  try {
    for (const commands of plans(python, folder, bundle)) {
      await remove(scratch);
      mkdirSync(scratch, { recursive: true });
      made = await runAll(commands, scratch, signal, listener);
      if (made.state !== "failed") {
        break;
      }
      listener.line(made.failed);
    }
  } finally {
    await remove(scratch);
    if (made.state !== "made") {
      await remove(folder);
    }
  }
  return made;
}

/** The environments that other versions have made, beside `folder`. */
export function others(folder: string): string[] {
  const storage = path.dirname(folder);
  const names = existsSync(storage) ? readdirSync(storage) : [];
  return names
    .filter((name) => /^server(-[\d.]+)?$/.test(name) && name !== path.basename(folder))
    .map((name) => path.join(storage, name));
}

/** The ways to make it, in the order in which they are tried; none if nothing came along. */
function plans(python: string, folder: string, bundle: string): Command[][] {
  const files = existsSync(bundle) ? readdirSync(bundle) : [];
  const wheels = files.filter((name) => name.endsWith(".whl"));
  const find = (start: string) => wheels.find((name) => name.startsWith(start));
  const server = find("coe_lsp-");
  const pip = find("pip-");
  if (server === undefined || pip === undefined) {
    return [];
  }
  const own = pythonOf(folder);
  // pip comes along, too: not every Python can put its own into an environment (Debian's cannot).
  const environment: Command = {
    step: "environment",
    text: l10n.t("making an environment"),
    command: python,
    args: ["-m", "venv", "--clear", "--without-pip", folder],
  };
  const install = [path.join(bundle, pip, "pip"), "install", "--find-links", bundle];
  const target = path.join(bundle, server);
  const trial: Command = {
    step: "trial",
    text: l10n.t("trying it out"),
    command: own,
    args: ["-P", "-c", TRIAL],
  };
  const offline: Command = {
    step: "install",
    text: l10n.t("installing what came along"),
    command: own,
    // What a user or a company has told pip to do (an index, constraints) is for what is fetched.
    args: [...install, "--isolated", "--no-index", target],
    env: { PIP_CONFIG_FILE: devNull },
  };
  const lean = path.join(bundle, "llama.cmake").split(path.sep).join("/");
  const compiled: Command = {
    step: "install",
    text: l10n.t("compiling llama.cpp, which takes some minutes"),
    command: own,
    args: [...install, "--verbose", "--no-binary", "llama-cpp-python", target],
    env: {
      CMAKE_ARGS: `"-DCMAKE_PROJECT_INCLUDE=${lean}" ${process.env["CMAKE_ARGS"] ?? ""}`,
    },
  };
  const bundled = find("llama_cpp_python-") !== undefined;
  return (bundled ? [offline, compiled] : [compiled]).map((one) => [environment, one, trial]);
}

async function runAll(
  commands: Command[],
  scratch: string,
  signal: AbortSignal,
  listener: Listener,
): Promise<Made> {
  const steps = commands.length;
  for (const [index, { step, text, command, args, env }] of commands.entries()) {
    const shown = l10n.t("{0} of {1}: {2}", index + 1, steps, text);
    listener.progress(shown, index / steps);
    const said: string[] = [];
    const places = { TMPDIR: scratch, TEMP: scratch, TMP: scratch };
    // Packages on PYTHONPATH would count as installed.
    const all = { ...process.env, PYTHONPATH: undefined, ...env, ...places };
    const status = await follow(command, args, all, signal, (line) => {
      said.push(line);
      listener.line(line);
      const [, done, of] = /^\s*\[(\d+)\/(\d+)\]/.exec(line) ?? []; // as ninja counts files
      if (done !== undefined && of !== undefined) {
        const part = Number(done) / Number(of);
        const files = l10n.t("{0} ({1} of {2} files)", shown, done, of);
        listener.progress(files, (index + part) / steps);
      }
    });
    if (signal.aborted) {
      return { state: "cancelled" };
    }
    if (status !== 0) {
      return { state: "failed", failed: failure(step, command, said) };
    }
  }
  return { state: "made" };
}

/** Windows lets go of the files of a process only some time after its end. */
function remove(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
}
