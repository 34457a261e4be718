// The command as a process of its own: signals, pipes and exit statuses as a shell sees them.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bareDiskProgram } from "@minivmm/vmm/guests";
import { describe, expect, it } from "vitest";
import { echoGuest, temporaryFolder } from "./helpers.ts";

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));

function start(argv: readonly string[], stdin: "ignore" | "pipe" = "ignore") {
  const child = spawn(process.execPath, ["--conditions=source", "--import", "tsx", main, ...argv], {
    stdio: [stdin, "pipe", "pipe"],
    cwd: fileURLToPath(new URL("..", import.meta.url)),
  });
  let stdout = "";
  let stderr = "";
  const waiting: (() => void)[] = [];
  child.stdout?.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
    for (const look of waiting) look();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
    for (const look of waiting) look();
  });
  const ended = new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on("close", (status) => resolve({ status, stdout, stderr }));
  });
  const until = (done: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (done()) resolve();
      };
      waiting.push(look);
      look();
    });
  /** Resolves when standard output contains a text; the other one, standard error. */
  const said = (text: string): Promise<void> => until(() => stdout.includes(text));
  const complained = (text: string): Promise<void> => until(() => stderr.includes(text));
  return { child, ended, said, complained };
}

function guestFile(bytes: Uint8Array): string {
  const path = join(temporaryFolder(), "guest");
  writeFileSync(path, bytes);
  return path;
}

describe("cli process", () => {
  it("passes input on, and ends a running guest on SIGTERM and on SIGINT with the shell's status", async () => {
    const kernel = guestFile(echoGuest());
    for (const [signal, expected] of [
      ["SIGTERM", 143],
      ["SIGINT", 130],
    ] as const) {
      const argv = ["-m", "64", "-kernel", kernel, "-host", "model:power9", "-summary", "-"];
      const { child, ended, said } = start(argv, "pipe");
      await said("up\n");
      child.stdin?.write("anybody there?\n");
      await said("anybody there?\n");
      child.kill(signal);
      const { status, stderr } = await ended;
      expect(status).toBe(expected);
      expect(stderr).toContain("guest entered");
    }
  });

  it("tells of the guest's pages at SIGUSR1, and the guest goes on", async () => {
    const kernel = guestFile(echoGuest());
    const argv = ["-m", "64", "-kernel", kernel, "-host", "model:power9", "-device", "edu"];
    const { child, ended, said, complained } = start(argv, "pipe");
    await said("up\n");
    child.kill("SIGUSR1");
    await complained("dev0 BAR 0\n");
    child.stdin?.write("anybody there?\n");
    await said("anybody there?\n");
    child.kill("SIGTERM");
    const { status, stderr } = await ended;
    expect(status).toBe(143);
    expect(stderr).toMatch(/^machine pseries \(running\) on modelled host power9: /);
    expect(stderr).not.toContain("Debugger");
  });

  it("ends by itself when the guest does, though its input stays open, and ignores the input's end", async () => {
    const kernel = guestFile(bareDiskProgram({ bytes: 64 << 10 }));
    const argv = ["-m", "64", "-kernel", kernel, "-host", "model:power9", "-device", "vfio,host=0001:01:00.0"];
    const open = start(argv, "pipe");
    const closed = start(argv, "pipe");
    closed.child.stdin?.end();
    for (const { status, stdout } of [await open.ended, await closed.ended]) {
      expect(status).toBe(0);
      expect(stdout).toContain("minivmm-bare: started");
    }
  });

  it("answers 2 for a mistake on the command line", async () => {
    const { status, stdout, stderr } = await start(["-kernl", "x"]).ended;
    expect({ status, stdout, stderr }).toEqual({
      status: 2,
      stdout: "",
      stderr: "minivmm: unknown option -kernl\nhint: did you mean -kernel?\n",
    });
  });
});
