// Where the server may be, in order, and whether it is there. No import of vscode.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import * as path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const SECONDS = 30;

export interface Candidate {
  origin: "setting" | "environment" | "path" | "private";
  command: string;
  args: string[];
}

export interface Found extends Candidate {
  version: string;
}

/** What to try. A path that the user set is the only one tried. */
export function candidates(
  serverPath: string | undefined,
  interpreter: string | undefined,
  privateFolder: string,
): Candidate[] {
  if (serverPath) {
    return [{ origin: "setting", command: serverPath, args: [] }];
  }
  // -P (Python 3.11, which the server needs anyway): a project's random.py is not the library's.
  const module = ["-P", "-m", "coe_lsp"];
  const found: Candidate[] = [];
  if (interpreter) {
    found.push({ origin: "environment", command: interpreter, args: module });
  }
  found.push({ origin: "path", command: "coe-lsp", args: [] });
  const own = pythonOf(privateFolder);
  if (existsSync(own)) {
    found.push({ origin: "private", command: own, args: module });
  }
  return found;
}

/** The first candidate that answers `--version`. */
export async function locate(tried: Candidate[]): Promise<Found | undefined> {
  for (const candidate of tried) {
    const version = await versionOf(candidate);
    if (version !== undefined) {
      return { ...candidate, version };
    }
  }
  return undefined;
}

export async function versionOf(candidate: Candidate): Promise<string | undefined> {
  try {
    const { stdout } = await run(candidate.command, [...candidate.args, "--version"], {
      timeout: 1000 * SECONDS,
    });
    return /^coe-lsp (\S+)/.exec(stdout)?.[1];
  } catch {
    return undefined;
  }
}

/** The interpreter of a virtual environment. */
export function pythonOf(folder: string): string {
  return process.platform === "win32"
    ? path.join(folder, "Scripts", "python.exe")
    : path.join(folder, "bin", "python");
}

/** The version of an interpreter as [major, minor]; undefined if it is none. */
export async function pythonVersion(command: string): Promise<[number, number] | undefined> {
  try {
    const code = "import sys; print(*sys.version_info[:2])";
    const { stdout } = await run(command, ["-c", code], { timeout: 1000 * SECONDS });
    const [major, minor] = stdout.trim().split(" ").map(Number);
    return major === undefined || minor === undefined ? undefined : [major, minor];
  } catch {
    return undefined;
  }
}
