// Clicks through a real VS Code workbench as a person would, with the packaged extension and a real
// server process (only the language model is a script; see tests/lsp/scripted_server.py).
//
//     node workbench.mjs FOLDER VSIX PYTHON [PICTURES]
//
// FOLDER is where setup.sh put code-server; PYTHON has coe-lsp and pytest; PICTURES gets screenshots.
// Prints a line for each scenario and exits with 1 if one fails.

import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const [folder, vsix, python, pictures] = process.argv.slice(2).map((p) => path.resolve(p));
const { chromium } = createRequire(path.join(folder, "package.json"))("playwright-core");
const here = path.dirname(fileURLToPath(import.meta.url));
const work = fs.mkdtempSync(path.join(os.tmpdir(), "coe-workbench-"));
const project = path.join(work, "project");
const script = path.join(work, "script.json");
const BROKEN = `def clamp(value, low, high):
    if value < low:
        return low
    if value > high:
        return low
    return value
`;
const TESTS = `from ranges import clamp


def test_low():
    assert clamp(-1, 0, 10) == 0


def test_high():
    assert clamp(15, 0, 10) == 10
`;

function write(file, text, mode) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text, mode ? { mode } : {});
}

function say(commands, delay = 0) {
  write(script, JSON.stringify({ commands: { clamp: commands }, delay }));
}

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function until(what, seconds, check) {
  const end = Date.now() + 1000 * seconds;
  while (Date.now() < end) {
    const found = await check().catch(() => undefined);
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${what} did not happen in ${seconds} s`);
}

// -- the pieces

write(path.join(project, "pyproject.toml"), "");
write(path.join(project, "ranges.py"), BROKEN);
write(path.join(project, "tests/test_ranges.py"), TESTS);
const wrapper = path.join(work, "coe-lsp");
const scripted = path.join(here, "../../lsp/scripted_server.py");
write(
  wrapper,
  `#!/bin/sh\n[ "$1" = serve ] && exec "${python}" "${scripted}" "${script}"\nexec "${python}" -m coe_lsp "$@"\n`,
  0o755,
);
const data = path.join(work, "data");
write(
  path.join(data, "User/settings.json"),
  JSON.stringify({
    "coe.serverPath": wrapper,
    "coe.python": python,
    "files.autoSave": "off",
    "workbench.startupEditor": "none",
    "workbench.colorTheme": "Default Light Modern",
    "editor.minimap.enabled": false,
    "window.commandCenter": false,
    "chat.commandCenter.enabled": false,
  }),
);
const entry = path.join(folder, "node_modules/code-server/out/node/entry.js");
const flags = [
  "--auth", "none", "--user-data-dir", data, "--extensions-dir", path.join(work, "extensions"),
  "--disable-telemetry", "--disable-update-check", "--disable-workspace-trust",
]; // prettier-ignore
const environment = { ...process.env, HOME: work, EXTENSIONS_GALLERY: "{}" };
execFileSync("node", [entry, ...flags, "--install-extension", vsix], { env: environment });
const port = await freePort();
const host = spawn("node", [entry, ...flags, "--bind-addr", `127.0.0.1:${port}`, project], {
  env: environment,
  stdio: "ignore",
  detached: true,
});
const url = `http://127.0.0.1:${port}`;
await until("code-server", 60, async () => (await fetch(`${url}/healthz`)).ok);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ], // prettier-ignore
});
const page = await browser.newPage({ viewport: { width: 1100, height: 640 } });

const text = () =>
  page.evaluate(() =>
    [...document.querySelectorAll(".editor-instance:not(.monaco-diff-editor) .view-line")]
      .map((line) => [line.getBoundingClientRect().top, line.textContent])
      .sort((a, b) => a[0] - b[0])
      .map(([, line]) => line.replaceAll("\u00a0", " "))
      .join("\n"),
  );

async function palette(command) {
  await until(`the command ${command}`, 60, async () => {
    await page.keyboard.press("F1");
    const input = page.locator(".quick-input-widget input").first();
    await input.waitFor({ state: "visible", timeout: 5000 });
    await input.fill(`>${command}`);
    const row = page.locator(".quick-input-list .monaco-list-row", { hasText: command }).first();
    try {
      await row.waitFor({ state: "visible", timeout: 3000 });
    } catch (error) {
      await page.keyboard.press("Escape");
      throw error;
    }
    await page.keyboard.press("Enter");
    return true;
  });
}

async function open(name) {
  await page.keyboard.press("Control+P");
  const input = page.locator(".quick-input-widget input").first();
  await input.waitFor({ state: "visible" });
  await input.fill(name);
  await page.locator(".quick-input-list .monaco-list-row", { hasText: name }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.locator(`.tab[data-resource-name="${name}"]`).waitFor();
}

async function picture(name) {
  if (pictures) {
    await page.screenshot({ path: path.join(pictures, `${name}.png`) });
  }
}

const toast = (words) => page.locator(".notification-toast", { hasText: words }).first();
const squiggle = page.locator(".squiggly-error").first();
const lens = page.locator(".codelens-decoration a", { hasText: "Repair with CoE" }).first();

// -- what is shown

async function diagnosed() {
  await open("ranges.py");
  await squiggle.waitFor({ timeout: 60000 });
  await lens.waitFor({ timeout: 60000 });
  await picture("vscode-failing");
}

async function quickFixAcceptedAndUndone() {
  say(["### REPL 5 >>>        return high"], 1);
  await page.locator(".view-line", { hasText: "def" }).first().click();
  await until("the quick fix", 30, async () => {
    await page.keyboard.press("Control+Period");
    await page
      .locator(".action-widget .monaco-list-row", { hasText: "Repair with CoE: clamp" })
      .first()
      .waitFor({ timeout: 3000 });
    return true;
  });
  await page.keyboard.press("Enter");
  await toast("Repair with CoE: clamp").waitFor({ timeout: 30000 });
  await picture("vscode-repairing");
  const decision = toast("clamp is repaired");
  await decision.waitFor({ timeout: 60000 });
  await page.locator(".monaco-diff-editor .line-insert, .monaco-diff-editor .char-insert").first().waitFor();
  await picture("vscode-preview");
  await decision.locator(".monaco-button", { hasText: "Accept" }).click();
  await until("the repaired text", 30, async () =>
    (await text()).includes("value > high:\n        return high"),
  );
  await squiggle.waitFor({ state: "detached", timeout: 60000 });
  await picture("vscode-repaired");
  await page.locator(".view-line", { hasText: "def" }).first().click();
  await page.keyboard.press("Control+Z");
  await until("undo", 10, async () => (await text()).includes("value > high:\n        return low"));
  if (fs.readFileSync(path.join(project, "ranges.py"), "utf8") !== BROKEN) {
    throw new Error("the file on the disk was changed");
  }
  await page.keyboard.press("Control+S");
  await squiggle.waitFor({ timeout: 60000 });
}

async function lensRejected() {
  say(["### REPL 5 >>>        return high"]);
  await lens.waitFor({ timeout: 60000 });
  await lens.click();
  await page.locator('[aria-label^="Reject Repair"]').first().waitFor({ timeout: 60000 });
  await page.locator('[aria-label^="Reject Repair"]').first().click();
  await page.locator(".monaco-diff-editor").waitFor({ state: "detached", timeout: 10000 });
  if (!(await text()).includes("value > high:\n        return low")) {
    throw new Error("a rejected repair was applied");
  }
}

async function cancelled() {
  say(["### REPL 5 >>>        return high"], 60);
  await page.locator(".view-line", { hasText: "def" }).first().click();
  await palette("CoE: Repair with CoE");
  const progress = toast("Repair with CoE: clamp");
  await progress.waitFor({ timeout: 30000 });
  await progress.locator(".monaco-button", { hasText: "Cancel" }).click();
  await progress.waitFor({ state: "detached", timeout: 5000 });
  await page.locator('.statusbar-item[aria-label*="CoE"]').first().waitFor();
}

async function chainShown() {
  await palette("CoE: Show Last Chain of Edits");
  await page.locator('.tab[data-resource-name*="Chain"], .tab[aria-label*="Chain"]').first().waitFor({ timeout: 20000 });
}

async function serverMissing() {
  const settings = path.join(data, "User/settings.json");
  const all = JSON.parse(fs.readFileSync(settings, "utf8"));
  write(settings, JSON.stringify({ ...all, "coe.serverPath": "/nowhere/coe-lsp" }));
  await page.reload(); // settings that change under the workbench are not always noticed
  await page.locator(".monaco-workbench").waitFor({ timeout: 60000 });
  await toast("coe.serverPath is /nowhere/coe-lsp").waitFor({ timeout: 60000 });
  await picture("vscode-no-server");
}

let failed = false;
try {
  say(["### REPL 5 >>>        return high"]);
  await page.goto(`${url}/?folder=${project}`);
  await page.locator(".monaco-workbench").waitFor({ timeout: 60000 });
  for (const scenario of [
    diagnosed, quickFixAcceptedAndUndone, lensRejected, cancelled, chainShown, serverMissing,
  ]) {
    const began = Date.now();
    await scenario();
    console.log(`ok ${scenario.name} ${((Date.now() - began) / 1000).toFixed(1)} s`);
  }
} catch (error) {
  failed = true;
  console.error(error);
  await page.screenshot({ path: path.join(work, "failed.png") });
  console.error(`picture: ${work}/failed.png`);
} finally {
  await browser.close();
  // Its group: the editor's hosts and the servers would outlive code-server itself.
  process.kill(-host.pid, "SIGKILL");
  if (!failed) fs.rmSync(work, { recursive: true, force: true, maxRetries: 5 });
}
process.exit(failed ? 1 : 0);
