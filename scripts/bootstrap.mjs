// Makes a fresh checkout usable with Node and npm only: installs the locked dependencies when needed and runs turbo.
// Installing is needed when the lock file is not the one that node_modules was made from (a digest of it is kept there).
// Everything is quiet unless it fails; then the failing command's own output is shown.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
const modules = join(root, "node_modules");
const stamp = join(modules, ".minivmm-lock");
const PNPM = "pnpm@12.21.0";

/** A problem that is told in one line, with what to do about it, and ends the script. */
export function giveUp(message, hint, details = "") {
  if (details.trim() !== "") process.stderr.write(`${details.trimEnd()}\n`);
  process.stderr.write(`minivmm: ${message}\nhint: ${hint}\n`);
  process.exit(1);
}

/** Throws the user out politely where Node is too old for the sources. */
export function checkNode(version = process.versions.node) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    giveUp(`needs Node 20.19 or newer, this is ${version}`, "install a current Node from https://nodejs.org");
  }
}

/** The environment of every tool: local binaries first (turbo looks for pnpm on PATH), no telemetry. */
export function toolEnvironment() {
  const path = `${join(modules, ".bin")}${delimiter}${process.env.PATH ?? ""}`;
  return { ...process.env, PATH: path, TURBO_TELEMETRY_DISABLED: "1", TURBO_NO_UPDATE_NOTIFIER: "1" };
}

function lockDigest() {
  return createHash("sha256")
    .update(readFileSync(join(root, "pnpm-lock.yaml")))
    .digest("hex");
}

/** True when node_modules was made from the lock file as it is now. */
export function installed() {
  return existsSync(join(modules, ".bin")) && existsSync(stamp) && readFileSync(stamp, "utf8") === lockDigest();
}

/** Installs the locked dependencies when they are missing or older than the lock file. */
export function install() {
  if (installed()) return;
  process.stderr.write("minivmm: installing dependencies ...\n");
  const args = ["--yes", PNPM, "install", "--frozen-lockfile", "--reporter=append-only"];
  // pnpm asks before it replaces a node_modules made otherwise, unless it knows that nobody is there to answer.
  const result = spawnSync("npx", args, { cwd: root, encoding: "utf8", env: { ...process.env, CI: "1" } });
  if (result.error) giveUp(`cannot start npx: ${result.error.message}`, "npm (with npx) must be on PATH");
  if (result.status !== 0) {
    const output = `${result.stdout ?? ""}${result.stderr ?? ""}`;
    giveUp(`installing the dependencies failed (npx ${args.join(" ")})`, "is the package registry reachable?", output);
  }
  writeFileSync(stamp, lockDigest());
}

/**
 * Runs turbo. `quiet` keeps its output back unless it fails.
 * Resolves with the exit status and, when quiet, the output.
 */
export function turbo(args, { quiet = false } = {}) {
  return new Promise((resolve) => {
    const stdio = ["ignore", quiet ? "pipe" : "inherit", quiet ? "pipe" : "inherit"];
    const child = spawn(join(modules, ".bin", "turbo"), args, { cwd: root, stdio, env: toolEnvironment() });
    const chunks = [];
    child.stdout?.on("data", (chunk) => chunks.push(chunk));
    child.stderr?.on("data", (chunk) => chunks.push(chunk));
    child.on("error", (error) => resolve({ status: 1, output: `cannot start turbo: ${error.message}` }));
    child.on("close", (status, signal) =>
      resolve({ status: status ?? (signal ? 1 : 0), output: Buffer.concat(chunks).toString() }),
    );
  });
}

/** Builds the packages (all, or one with what it needs); ends the script when that fails. */
export async function build(filter) {
  const args = ["run", "build", "--output-logs=errors-only", "--concurrency=2"];
  if (filter) args.push(`--filter=${filter}`);
  const { status, output } = await turbo(args, { quiet: true });
  if (status !== 0) giveUp("building failed", "the compiler's messages are above", output);
}

/** What every entry script does first. */
export async function bootstrap({ filter } = {}) {
  checkNode();
  install();
  await build(filter);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bootstrap();
