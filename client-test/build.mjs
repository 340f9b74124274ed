/** Builds `dist/`: the console page that the server carries, and the client as one self-contained module. */

import { build } from "esbuild";
import { copyFile, mkdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const common = { bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "none", logLevel: "warning" };

// Emptied rather than removed: the server's build script watches the folder.
await mkdir(at("dist"), { recursive: true });
for (const name of ["index.html", "console.js", "console.css", "icon.svg", "orion-client.js", "admin.html", "admin.js"]) {
  await rm(at(`dist/${name}`), { force: true });
}

await Promise.all([
  build({ ...common, entryPoints: [at("src/console/main.ts")], outfile: at("dist/console.js") }),
  build({ ...common, entryPoints: [at("src/console/admin.ts")], outfile: at("dist/admin.js") }),
  build({ ...common, entryPoints: [at("src/console/console.css")], outfile: at("dist/console.css") }),
  build({ ...common, entryPoints: [at("src/index.ts")], outfile: at("dist/orion-client.js") }),
  copyFile(at("src/console/index.html"), at("dist/index.html")),
  copyFile(at("src/console/admin.html"), at("dist/admin.html")),
  copyFile(at("src/console/icon.svg"), at("dist/icon.svg")),
]);
