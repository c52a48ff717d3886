// Puts the server's wheel into the package, so that it can be installed for whoever has none. What
// it depends on is fetched then, and llama.cpp compiled; a platform's .vsix has it all, and is made
// by .ci/release/build.py.
import { execFileSync } from "node:child_process";

const command = ["../../.ci/release/wheels.py", "server", "--server"];
execFileSync(process.env.PYTHON ?? "python3", command, { stdio: "inherit" });
