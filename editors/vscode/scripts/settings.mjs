// Writes the server's settings into package.json, from the server's own table.
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
const properties = {
  "coe.serverPath": {
    type: ["string", "null"],
    default: null,
    scope: "machine-overridable",
    markdownDescription:
      "The `coe-lsp` program; else that of the selected Python environment, the one on PATH, or a private one.",
  },
};
for (const [name, kind, text, choices, low, high, value] of rules) {
  const type = kind === "strings" ? "array" : kind;
  properties[`coe.${name}`] = {
    type: value === null ? [type, "null"] : type,
    ...(kind === "strings" ? { items: { type: "string" } } : {}),
    ...(choices.length ? { enum: choices } : {}),
    ...(low === null ? {} : { minimum: low }),
    ...(high === null ? {} : { maximum: high }),
    default: value,
    // A workspace's settings may have come with its code: they do not take its walls away.
    scope: name === "sandbox" ? "machine" : "resource",
    markdownDescription: text,
  };
}
const manifest = JSON.parse(readFileSync("package.json", "utf8"));
manifest.contributes.configuration.properties = properties;
writeFileSync("package.json", JSON.stringify(manifest, null, 2) + "\n");
