// `npm start`: installs and builds what the command needs, then runs it. Without arguments it is `minivmm demo`, which
// boots Linux with a passed-through disk on a modelled host; `npm start -- ARGS` is `minivmm ARGS`.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { bootstrap, root } from "./bootstrap.mjs";

await bootstrap({ filter: "minivmm" });
const args = process.argv.slice(2);
const main = join(root, "apps/cli/dist/main.js");
const child = spawn(process.execPath, [main, ...(args.length > 0 ? args : ["demo"])], { stdio: "inherit" });
// A terminal's Ctrl-C reaches the child by itself; it ends in its own way and this process passes its status on.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  });
}
child.on("error", (error) => {
  process.stderr.write(`minivmm: cannot start the command: ${error.message}\n`);
  process.exitCode = 1;
});
child.on("close", (status, signal) => {
  process.exitCode = status ?? (signal ? 1 : 0);
});
