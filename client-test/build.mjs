/**
 * Builds `dist/`: the pages that the server carries (console, docs), and the client as one self-contained module; and
 * `lib/`: the client as a package, without its dependency.
 */

import { build } from "esbuild";
import { copyFile, mkdir, readdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const swagger = (name) => at(`node_modules/swagger-ui-dist/${name}`);
const common = { bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "none", logLevel: "warning" };

// Emptied rather than removed: the server's build script watches the folder.
await Promise.all(["dist/docs", "dist/licenses"].map((folder) => mkdir(at(folder), { recursive: true })));
const files = await readdir(at("dist"), { recursive: true, withFileTypes: true });
await Promise.all(files.filter((file) => file.isFile()).map((file) => rm(`${file.parentPath ?? file.path}/${file.name}`)));

await Promise.all([
  // The chart's library is a file of its own, which a page loads after it has shown the prices.
  build({
    ...common,
    splitting: true,
    entryPoints: { console: at("src/console/main.ts"), admin: at("src/console/admin.ts"), record: at("src/console/record/page.ts") },
    chunkNames: "parts/[name]-[hash]",
    outdir: at("dist"),
  }),
  copyFile(at("node_modules/lightweight-charts/LICENSE"), at("dist/licenses/lightweight-charts.txt")),
  build({ ...common, entryPoints: [at("src/console/console.css")], outfile: at("dist/console.css") }),
  build({ ...common, entryPoints: [at("src/index.ts")], outfile: at("dist/orion-client.js") }),
  build({ ...common, minify: false, external: ["socket.io-client"], entryPoints: [at("src/index.ts")], outfile: at("lib/index.js") }),
  copyFile(at("src/console/index.html"), at("dist/index.html")),
  copyFile(at("src/console/admin.html"), at("dist/admin.html")),
  copyFile(at("src/console/record.html"), at("dist/record.html")),
  copyFile(at("src/console/icon.svg"), at("dist/icon.svg")),
  build({ ...common, entryPoints: [at("src/docs/http.ts")], outfile: at("dist/docs/http.js") }),
  copyFile(at("src/docs/index.html"), at("dist/docs/index.html")),
  ...["swagger-ui-bundle.js", "swagger-ui.css"].map((name) => copyFile(swagger(name), at(`dist/docs/${name}`))),
]);
