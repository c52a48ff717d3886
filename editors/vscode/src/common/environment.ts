// Makes an environment with the server in it, or leaves nothing behind. No import of vscode.

import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { pythonOf } from "./locate";
import { follow } from "./processes";

/** Whether it was made; if not, the folder is gone again. `wheel` is what pip shall install. */
export async function makeEnvironment(
  python: string,
  folder: string,
  wheel: string,
  signal: AbortSignal,
  line: (text: string) => void,
): Promise<boolean> {
  // Builds go where they can be found and removed: pip that is ended by force tidies nothing.
  const scratch = `${folder}-tmp`;
  await remove(scratch);
  mkdirSync(scratch, { recursive: true });
  const env = { ...process.env, TMPDIR: scratch, TEMP: scratch, TMP: scratch };
  const steps: [string, string[]][] = [
    [python, ["-m", "venv", folder]],
    [pythonOf(folder), ["-m", "pip", "install", "--upgrade", wheel]],
  ];
  let made = false;
  try {
    for (const [command, args] of steps) {
      made = (await follow(command, args, env, signal, line)) === 0;
      if (!made) {
        break;
      }
    }
  } finally {
    await remove(scratch);
    if (!made) {
      await remove(folder);
    }
  }
  return made;
}

/** Windows lets go of the files of a process only some time after its end. */
function remove(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
}
