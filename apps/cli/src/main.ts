#!/usr/bin/env node
// The `minivmm` command: this process's streams, environment and start go in, its exit status comes out.
import { main } from "./cli.ts";

const { stdin, stdout, stderr, env } = process;
// A reader that went away (`minivmm ... | head`) is the reader's business.
for (const stream of [stdout, stderr]) stream.on("error", () => {});
const started = { origin: performance.timeOrigin, nodeUp: performance.nodeTiming.bootstrapComplete };
process.exitCode = await main(process.argv.slice(2), { stdin, stdout, stderr, env, started });
