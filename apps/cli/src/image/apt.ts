// apt, asked for packages of another architecture without touching the system: its state, caches and package database
// live in a private folder, its sources and proxies are the machine's own. Nothing is installed and no architecture is
// added. Source: apt.conf(5) for the Dir:: and APT:: settings, apt's README.progress-reporting for the status lines.
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CliError } from "../errors.ts";
import { runTool, type ToolOptions, type ToolResult } from "./process.ts";

/** Share of a step that is done, 0 to 1. */
export type OnProgress = (share: number) => void;

export class PrivateApt {
  private readonly folder: string;
  private readonly architecture: string;
  private readonly options: Omit<ToolOptions, "cwd" | "onStatus">;
  private indexProblems = "";

  /** `folder` is empty and belongs to this object. */
  constructor(folder: string, architecture: string, options: Omit<ToolOptions, "cwd" | "onStatus">) {
    this.folder = folder;
    this.architecture = architecture;
    this.options = options;
    for (const each of ["state/lists/partial", "cache/archives/partial"])
      mkdirSync(join(folder, each), { recursive: true });
    writeFileSync(join(folder, "status"), "");
  }

  /** Fetches the package indexes. One that cannot be had does not stop the rest; what is missing shows later. */
  async update(onProgress: OnProgress): Promise<void> {
    const { status, stderr } = await this.run("apt-get", ["-q", "update"], onProgress);
    if (status !== 0 || stderr.includes("W:")) this.indexProblems = stderr;
  }

  /** The first package that `name` depends on. Throws CliError NO_PACKAGE. */
  async firstDependency(name: string): Promise<string> {
    const { stdout, stderr } = await this.run("apt-cache", ["depends", name]);
    const found = /^\s*Depends:\s*(\S+)/m.exec(stdout.toString())?.[1];
    if (found === undefined || found.startsWith("<")) throw this.noPackage(name, stderr);
    return found;
  }

  /** Downloads a package (its digest is checked by apt). Resolves with the path of the file. Throws CliError NO_PACKAGE. */
  async download(name: string, onProgress: OnProgress): Promise<string> {
    const folder = join(this.folder, "packages");
    mkdirSync(folder, { recursive: true });
    const { status, stderr } = await this.run("apt-get", ["-q", "download", name], onProgress, folder);
    const file = readdirSync(folder).find((entry) => entry.endsWith(".deb"));
    if (status !== 0 || file === undefined) throw this.noPackage(name, stderr);
    return join(folder, file);
  }

  private run(tool: string, args: string[], onProgress?: OnProgress, cwd = this.folder): Promise<ToolResult> {
    const settings = {
      "APT::Architecture": this.architecture,
      "APT::Architectures": this.architecture,
      "Dir::State": join(this.folder, "state"),
      "Dir::State::status": join(this.folder, "status"),
      "Dir::Cache": join(this.folder, "cache"),
      // The unprivileged download user could not write into the private folder.
      "APT::Sandbox::User": "root",
      // Indexes that a kernel is not found through.
      "Acquire::Languages": "none",
      ...(onProgress === undefined ? {} : { "APT::Status-Fd": "3" }),
    };
    const flags = Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
    const onStatus = onProgress === undefined ? {} : { onStatus: (line: string) => progressOf(line, onProgress) };
    return runTool(tool, [...flags, ...args], { ...this.options, cwd, ...onStatus });
  }

  private noPackage(name: string, stderr: string): CliError {
    const said = `${stderr}\n${this.indexProblems}`.split("\n").filter((line) => /^[EW]:/.test(line));
    return new CliError(`apt has no package ${name} for ${this.architecture}`, {
      code: "NO_PACKAGE",
      details: { name, architecture: this.architecture },
      hint: "the sources of this machine must be Debian's and reachable (apt-get update)",
      ...(said.length === 0 ? {} : { cause: new Error([...new Set(said)].slice(0, 3).join("; ")) }),
    });
  }
}

/** `dlstatus:FILE:PERCENT:TEXT` */
function progressOf(line: string, onProgress: OnProgress): void {
  const percent = /^(?:dlstatus|pmstatus):[^:]*:([\d.]+):/.exec(line)?.[1];
  if (percent !== undefined) onProgress(Math.min(Number(percent) / 100, 1));
}
