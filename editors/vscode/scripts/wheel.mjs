// Puts the server's wheel into the package, so that it can be installed for whoever has none.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";

rmSync("server", { recursive: true, force: true });
mkdirSync("server");
execFileSync(
  process.env.PYTHON ?? "python3",
  ["-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "server", "../.."],
  { stdio: "inherit" },
);
