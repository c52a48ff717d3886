// Bundles the extension, or with --tests its unit tests, by esbuild.
import { build } from "esbuild";
import { readdirSync } from "node:fs";

const tests = process.argv.includes("--tests");
const entries = tests
  ? readdirSync("src/test")
      .filter((name) => name.endsWith(".test.ts"))
      .map((name) => `src/test/${name}`)
  : ["src/extension.ts"];

await build({
  entryPoints: entries,
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  ...(tests ? { alias: { vscode: "./src/test/words.ts" } } : { external: ["vscode"] }),
  minify: process.argv.includes("--minify"),
  sourcemap: tests,
  ...(tests ? { outdir: "dist/test" } : { outfile: "dist/extension.js" }),
});
