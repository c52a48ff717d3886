// What a newcomer meets: a platform's .vsix, no coe-lsp anywhere, no network. Clicks "Install" in a
// real VS Code workbench, and waits until a failing test is marked.
//
//     unshare -rn sh -c 'ip link set lo up; exec node install.mjs FOLDER VSIX PYTHON [PICTURES]'
//
// FOLDER is where setup.sh put code-server, VSIX is one of .ci/release/build.py, PYTHON any from 3.11
// on, without coe-lsp. PICTURES gets screenshots. Prints the seconds; exits with 1 if something is
// missing.

import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

const [folder, vsix, python, pictures] = process.argv.slice(2, 6).map((p) => path.resolve(p));
const { chromium } = createRequire(path.join(folder, "package.json"))("playwright-core");
const work = fs.mkdtempSync(path.join(os.tmpdir(), "coe-install-"));
const PORT = 8765;
const MINUTES = 60_000;

function write(file, text) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

const project = path.join(work, "project");
write(path.join(project, "pyproject.toml"), "");
write(path.join(project, "ranges.py"), "def clamp(value, high):\n    return max(value, high)\n");
write(
  path.join(project, "tests/test_ranges.py"),
  "from ranges import clamp\n\n\ndef test_high():\n    assert clamp(15, 10) == 10\n",
);
const data = path.join(work, "data");
write(
  path.join(data, "User/settings.json"),
  JSON.stringify({
    "workbench.startupEditor": "none",
    "workbench.colorTheme": "Default Light Modern",
  }),
);
const programs = path.join(work, "bin");
fs.mkdirSync(programs);
fs.symlinkSync(python, path.join(programs, "python3"));
const environment = {
  ...process.env,
  HOME: work,
  EXTENSIONS_GALLERY: "{}",
  PATH: `${programs}:/usr/bin:/bin`,
};
for (const name of ["PYTHONPATH", "VIRTUAL_ENV", "XDG_STATE_HOME"]) delete environment[name];

const entry = path.join(folder, "node_modules/code-server/out/node/entry.js");
const flags = [
  "--auth", "none", "--user-data-dir", data, "--extensions-dir", path.join(work, "extensions"),
  "--disable-telemetry", "--disable-update-check", "--disable-workspace-trust",
]; // prettier-ignore
const server = [entry, ...flags];
execFileSync(process.execPath, [...server, "--install-extension", vsix], { env: environment });
const host = spawn(process.execPath, [...server, "--bind-addr", `127.0.0.1:${PORT}`, project], {
  env: environment,
  stdio: "ignore",
  detached: true,
});
let failed;
try {
  const url = `http://127.0.0.1:${PORT}`;
  const up = () => fetch(`${url}/healthz`).then((answer) => answer.ok, () => false);
  for (let left = 600; left > 0 && !(await up()); left--) {
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  });
  const page = await browser.newPage({ viewport: { width: 1100, height: 640 } });
  page.setDefaultTimeout(3 * MINUTES);
  const picture = async (name) =>
    pictures && (await page.screenshot({ path: path.join(pictures, `${name}.png`) }));
  const toast = (words) => page.locator(".notification-toast", { hasText: words }).first();
  const press = (where, name) => where.locator(".monaco-button", { hasText: name }).click();

  await page.goto(`${url}/?folder=${project}`);
  await page.locator(".monaco-workbench").waitFor();
  await page.keyboard.press("Control+P");
  await page.locator(".quick-input-widget input").first().fill("ranges.py");
  const row = page.locator(".quick-input-list .monaco-list-row", { hasText: "ranges.py" });
  await row.first().waitFor();
  await page.keyboard.press("Enter");

  const offer = toast("CoE needs its server");
  await offer.waitFor();
  await picture("install-offer");
  const begin = performance.now();
  await press(offer, "Install");
  await toast("of 3: ").waitFor();
  await picture("install-progress");
  await toast("coe-lsp is installed").waitFor({ timeout: 15 * MINUTES });
  const seconds = () => ((performance.now() - begin) / 1000).toFixed(1);
  console.log(`click to installed: ${seconds()} s`);
  await page.locator(".squiggly-error").first().waitFor();
  console.log(`click to the first mark: ${seconds()} s`);
  await picture("install-marked");
  const storage = path.join(data, "User/globalStorage");
  const made = fs.readdirSync(storage).flatMap((name) => {
    const own = path.join(storage, name);
    return fs.statSync(own).isDirectory() ? fs.readdirSync(own) : [];
  });
  const left = made.filter((name) => name.endsWith("-tmp"));
  if (left.length > 0 || !made.some((name) => /^server-[\d.]+$/.test(name))) {
    throw new Error(`in the extension's storage: ${made}`);
  }
  await browser.close();
} catch (error) {
  failed = error;
  console.error(error);
} finally {
  process.kill(-host.pid);
}
process.exit(failed ? 1 : 0);
