// Only what the user set is sent to the server: it reads the project's pyproject.toml for the rest.
// No import of vscode, so that the tests run without it.

export interface Inspected {
  globalValue?: unknown;
  workspaceValue?: unknown;
  workspaceFolderValue?: unknown;
}

/** What the client itself heeds; the server has no such settings. */
const OWN = new Set(["enable", "serverPath", "showNotifications", "trace.server"]);

/** The server's settings, without the section's name, of those in the manifest. */
export function serverSettings(properties: Record<string, unknown>): string[] {
  return Object.keys(properties)
    .map((name) => name.replace(/^coe\./, ""))
    .filter((name) => !OWN.has(name));
}

/** The value that was set nearest to the file; undefined if it is only the default. */
export function explicit(found: Inspected | undefined): unknown {
  return found?.workspaceFolderValue ?? found?.workspaceValue ?? found?.globalValue;
}

/** The section `coe` as the server wants it, with the editor's interpreter if none was set. */
export function section(
  names: readonly string[],
  inspect: (name: string) => Inspected | undefined,
  interpreter: string | undefined,
): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const name of names) {
    const value = explicit(inspect(name));
    if (value !== undefined && value !== null && value !== "") {
      found[name] = value;
    }
  }
  if (found.python === undefined && interpreter !== undefined) {
    found.python = interpreter;
  }
  return found;
}
