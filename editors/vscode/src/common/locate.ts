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

/** The first candidate that answers `--version`; `line` is told why the others do not do. */
export async function locate(
  tried: Candidate[],
  line: (text: string) => void,
): Promise<Found | undefined> {
  for (const candidate of tried) {
    try {
      return { ...candidate, version: await versionOf(candidate) };
    } catch (error) {
      const why = error instanceof Error ? error.message.trim() : String(error);
      line(`no coe-lsp (${candidate.origin}): ${why}`);
    }
  }
  return undefined;
}

/** What it answers to `--version`; an error if that is not a coe-lsp. */
export async function versionOf({ command, args }: Candidate): Promise<string> {
  const { stdout } = await run(command, [...args, "--version"], { timeout: 1000 * SECONDS });
  const version = /^coe-lsp (\S+)/.exec(stdout)?.[1];
  if (version === undefined) {
    throw new Error(`${command} answers ${JSON.stringify(stdout.slice(0, 80))}`);
  }
  return version;
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
