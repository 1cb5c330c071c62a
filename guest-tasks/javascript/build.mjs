// node build.mjs WIT_FOLDER OUTPUT, where WIT_FOLDER holds world.wit, and the contract's wit/ as deps/scheduler.

import { componentize } from "@bytecodealliance/componentize-js";
import { readFile, writeFile } from "node:fs/promises";

const [witPath, output] = process.argv.slice(2);
const source = await readFile(new URL("app.js", import.meta.url), "utf8");
// Without these two, the component imports wasi:http, which the host does not offer.
const disableFeatures = ["http", "fetch-event"];
const { component } = await componentize(source, { witPath, worldName: "greeting", disableFeatures });
await writeFile(output, component);
