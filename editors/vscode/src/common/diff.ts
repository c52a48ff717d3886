// What a unified diff changes, in one line, for choices between repairs. No import of vscode.

const MOST_CHARACTERS = 100;

/** The new lines of code, else the ones that go. */
export function changedCode(diff: string): string {
  const lines = diff.split("\n").filter((line) => !/^(\+\+\+|---) /.test(line));
  const code = (sign: string) =>
    lines
      .filter((line) => line.startsWith(sign))
      .map((line) => line.slice(1).trim())
      .filter(Boolean);
  const added = code("+");
  const gone = code("-").map((line) => `- ${line}`);
  const shown = (added.length > 0 ? added : gone).join("; ");
  return shown.length <= MOST_CHARACTERS ? shown : `${shown.slice(0, MOST_CHARACTERS - 3)}...`;
}
