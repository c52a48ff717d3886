// Writes the settings into package.json and their words into package.nls.json: the client's own, and
// the server's from its table.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

const code = `
import json
from coe_lsp.settings import RULES
print(json.dumps([[r.name, r.kind, r.text, r.choices, r.low, r.high, d] for _, r, d in RULES]))
`;
const rules = JSON.parse(
  execFileSync(process.env.PYTHON ?? "python3", ["-c", code], { cwd: "../..", encoding: "utf8" }),
);
const own = {
  enable: {
    type: "boolean",
    default: true,
    scope: "window",
    text: "Whether CoE does anything here: without it there is no server, no mark and no command.",
  },
  serverPath: {
    type: "string",
    default: "",
    scope: "machine-overridable",
    text: "The `coe-lsp` program; else that of the selected Python environment, the one on PATH, or a private one.",
  },
  showNotifications: {
    type: "string",
    enum: ["off", "onError", "onWarning", "always"],
    default: "always",
    scope: "window",
    text: "Which messages come as notifications; all of them are in the log. Questions that work waits for, and the progress of a repair, are always shown.",
  },
  "trace.server": {
    type: "string",
    enum: ["off", "messages", "verbose"],
    default: "off",
    scope: "window",
    text: "Whether the log has what the editor and the server say to each other; `verbose` has it with source code.",
  },
};
const properties = {};
const texts = {};

function add(name, text, entry) {
  properties[`coe.${name}`] = { ...entry, markdownDescription: `%coe.settings.${name}%` };
  texts[`coe.settings.${name}`] = text;
}

for (const [name, { text, ...entry }] of Object.entries(own)) {
  add(name, text, entry);
}
for (const [name, kind, text, choices, low, high, value] of rules) {
  add(name, text, {
    // One type each: VS Code has a box for those alone. The server takes "" for not set.
    type: kind === "strings" ? "array" : kind,
    ...(kind === "strings" ? { items: { type: "string" } } : {}),
    ...(choices.length ? { enum: choices } : {}),
    ...(low === null ? {} : { minimum: low }),
    ...(high === null ? {} : { maximum: high }),
    default: value ?? "",
    // A workspace's settings may have come with its code: they do not take its walls away.
    scope: name === "sandbox" ? "machine" : "resource",
  });
}

function change(file, edit) {
  const content = JSON.parse(readFileSync(file, "utf8"));
  writeFileSync(file, JSON.stringify(edit(content), null, 2) + "\n");
}

change("package.json", (manifest) => {
  manifest.contributes.configuration.properties = properties;
  return manifest;
});
change("package.nls.json", (words) => {
  const others = Object.entries(words).filter(([key]) => !key.startsWith("coe.settings."));
  return { ...Object.fromEntries(others), ...texts };
});
