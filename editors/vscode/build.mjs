// Bundles the extension into out/extension.js, and the licences of what went into it into out/LICENCES.txt.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

process.chdir(path.dirname(fileURLToPath(import.meta.url)));
const { metafile } = await build({
  entryPoints: ["src/extension.ts"], outfile: "out/extension.js", bundle: true, platform: "node", target: "node18",
  format: "cjs", external: ["vscode"], metafile: true, logLevel: "warning",
});
const folders = new Set();
for (const input of Object.keys(metafile.inputs)) {
  const found = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input);
  if (found) {
    folders.add(found[0]);
  }
}
const texts = [...folders].sort().map((folder) => {
  const { name, version, license } = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file || !existsSync(path.join(folder, file))) {
    throw new Error(`${name} ${version} (${license}) carries no licence text`);
  }
  return `${name} ${version} (${license})\n\n${readFileSync(path.join(folder, file), "utf8").trim()}\n`;
});
writeFileSync("out/LICENCES.txt", `out/extension.js contains these packages.\n\n${texts.join(`\n${"-".repeat(80)}\n\n`)}`);
