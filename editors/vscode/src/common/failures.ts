// Why an installation failed, by what its programs said, and what the user can do about it.
// Of vscode nothing but the translations.

import { l10n } from "vscode";
import { plain } from "./plain";

type Step = "environment" | "install" | "trial";

const FULL = /No space left|ENOSPC/;
// The first that fits is told: a later line is often only a consequence of it.
const CAUSES: [Step, RegExp, () => string][] = [
  [
    "environment",
    /No module named '?venv/,
    () =>
      l10n.t(
        "This Python cannot make environments. Install its venv module (Debian, Ubuntu: " +
          "sudo apt install python3-venv), or choose another Python.",
      ),
  ],
  ["environment", FULL, () => l10n.t("The disk is full: 500 MB are needed.")],
  ["install", FULL, () => l10n.t("The disk is full: 500 MB are needed.")],
  [
    "install",
    /CMAKE_C(XX)?_COMPILER|No CMAKE_|compiler.*(not found|is not able)|nmake/i,
    () =>
      l10n.t(
        "llama.cpp must be compiled here, and there is no C++ compiler. Install one (Debian, " +
          "Ubuntu: sudo apt install build-essential; macOS: xcode-select --install; Windows: the " +
          "Build Tools for Visual Studio), or take the .vsix that is made for this platform.",
      ),
  ],
  [
    "install",
    /NewConnectionError|name resolution|Max retries|timed? out|Could not fetch|No matching dist/i,
    () =>
      l10n.t(
        "The package index cannot be reached. Connect to the network, or tell pip of your " +
          "company's index and proxy; the .vsix that is made for this platform needs none.",
      ),
  ],
];

/** What to say, of a program's lines. */
export function failure(step: Step, command: string, said: string[]): string {
  for (const [at, sign, advice] of CAUSES) {
    if (at === step && said.some((line) => sign.test(line))) {
      return advice();
    }
  }
  const last = plain(said.at(-1) ?? l10n.t("it said nothing")).slice(0, 200);
  return step === "trial"
    ? l10n.t("The server was installed, but does not start: {0}", last)
    : l10n.t("{0} failed: {1}", plain(command), last);
}
