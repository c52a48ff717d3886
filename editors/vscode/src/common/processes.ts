// Runs a program, and ends it together with all that it has started. No import of vscode.

import { execFile, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { promisify } from "node:util";

const run = promisify(execFile);

interface Process {
  pid: number;
  parent: number;
  group: number;
}

/**
 * Run to the end; the status, or null if it could not be started or was cancelled by `signal`: then
 * nothing that it has started runs any more.
 */
export function follow(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
  line: (text: string) => void,
): Promise<number | null> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve(null);
      return;
    }
    // A group of its own, so that what it starts is found again.
    const detached = process.platform !== "win32";
    const child = spawn(command, args, { env, detached, windowsHide: true });
    const read = (data: Buffer) => data.toString().split(/\r?\n/).filter(Boolean).forEach(line);
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    const cancel = () => {
      const ended = child.pid === undefined ? Promise.resolve() : endTree(child.pid);
      void ended.catch((error: unknown) => line(String(error))).then(() => resolve(null));
    };
    signal.addEventListener("abort", cancel, { once: true });
    const settle = (status: number | null) => {
      signal.removeEventListener("abort", cancel);
      if (!signal.aborted) {
        resolve(status);
      }
    };
    child.on("error", (error) => {
      line(String(error));
      settle(null);
    });
    child.on("close", settle);
  });
}

/** End a process and its offspring, by force: compilers that are told politely go on. */
async function endTree(pid: number): Promise<void> {
  if (process.platform === "win32") {
    await run("taskkill", ["/pid", String(pid), "/T", "/F"]);
    return;
  }
  // Stopped first, so that none can start another one meanwhile. Build tools give their jobs groups
  // of their own: who belongs to whom is seen only while the parents are there.
  const found = new Set<number>();
  for (let more = [pid]; more.length > 0; more = offspring(await processes(), pid, found)) {
    for (const one of more) {
      found.add(one);
      send(one, "SIGSTOP");
    }
  }
  for (const one of found) {
    send(one, "SIGKILL");
  }
}

/** Who belongs to a process, by descent or by group, and is not in `found`. */
function offspring(all: Process[], pid: number, found: ReadonlySet<number>): number[] {
  const ours = new Set(found);
  for (let size = -1; size !== ours.size;) {
    size = ours.size;
    for (const one of all) {
      if (one.group === pid || ours.has(one.parent)) {
        ours.add(one.pid);
      }
    }
  }
  return [...ours].filter((one) => !found.has(one));
}

async function processes(): Promise<Process[]> {
  // No `ps` is needed on Linux: small containers have none.
  const rows = existsSync("/proc/self/stat")
    ? readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name))
        .map(row)
    : (await run("ps", ["-A", "-o", "pid=,ppid=,pgid="])).stdout.split("\n");
  return rows.flatMap((text) => {
    const [pid, parent, group] = text.trim().split(/\s+/).map(Number);
    return pid && group !== undefined && parent !== undefined ? [{ pid, parent, group }] : [];
  });
}

/** A process as `ps` would have it; empty if it has ended. */
function row(pid: string): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [, parent, group] = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // after the name
    return `${pid} ${parent} ${group}`;
  } catch {
    return "";
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended already.
  }
}
