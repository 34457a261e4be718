// `minivmm run -M pc` as a user has it, on this machine's /dev/kvm: from the command line to the exit status.
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { PcProgram } from "@minivmm/vmm/guests/pc";
import { al, dx, eax } from "@minivmm/x86asm";
import { describe, expect, it } from "vitest";
import { main } from "../../src/cli.ts";
import type { TerminalInput } from "../../src/console/terminal.ts";
import { Capture, cli, FakeTerminal, temporaryFolder } from "../helpers.ts";

const COM1 = 0x3f8;
const PCI_ADDRESS = 0xcf8;
const PCI_DATA = 0xcfc;
const NVME = 0x0010_1b36;
const EDU = 0x11e8_1234;

function program(folder: string, build: (guest: PcProgram) => void): string[] {
  const guest = new PcProgram();
  build(guest);
  const path = join(folder, "guest");
  writeFileSync(path, guest.elf());
  return ["-M", "pc", "-m", "32", "-nographic", "-kernel", path];
}

/** Prints "yes" or "no ": the function in `slot` has these ids. */
function isInSlot(guest: PcProgram, slot: number, ids: number): void {
  guest.mov(dx, PCI_ADDRESS);
  guest.mov(eax, 0x8000_0000 + (slot << 11));
  guest.out(dx, eax);
  guest.mov(dx, PCI_DATA);
  guest.in(eax, dx);
  guest.cmp(eax, ids);
  guest.je(`yes ${slot}`);
  guest.print("no ");
  guest.label(`yes ${slot}`);
  guest.print(`slot ${slot}\n`);
}

/** A terminal's streams, and a promise of what the guest will have said. */
function terminal(input: PassThrough = new PassThrough()) {
  const stdin = input as unknown as TerminalInput;
  const [stdout, stderr] = [new Capture(), new Capture()];
  for (const stream of [stdout, stderr]) {
    const write = stream._write.bind(stream);
    stream._write = (chunk, encoding, done) => {
      write(chunk, encoding, done);
      stream.emit("heard");
    };
  }
  const heard = async (stream: Capture, text: string, times = 1): Promise<void> => {
    while (stream.text.split(text).length <= times) await new Promise((resolve) => stream.once("heard", resolve));
  };
  const said = (text: string): Promise<void> => heard(stdout, text);
  return { io: { stdin, stdout, stderr, env: {} }, said, heard };
}

describe("cli run on KVM: machine pc", () => {
  it("shows what the guest prints, ends with its power off, and writes down what it was", async () => {
    const folder = temporaryFolder();
    const summary = join(folder, "s.json");
    const argv = program(folder, (guest) => {
      guest.print("up\n");
      guest.powerOff();
    });
    expect(await cli([...argv, "-smp", "2", "-name", "g1", "-summary", summary])).toEqual({
      status: 0,
      stdout: "up\n",
      stderr: "",
    });
    const { timeline, ...rest } = JSON.parse(readFileSync(summary, "utf8"));
    expect(rest).toMatchObject({ name: "g1", machine: "pc", accelerator: "kvm", cpus: 2, devices: [] });
    expect(timeline.map(({ name }: { name: string }) => name)).toContain("power off");
  });

  it("the summary of a process that was started for it begins with the process", async () => {
    const argv = program(temporaryFolder(), (guest) => guest.powerOff());
    const { io } = terminal();
    const started = { origin: performance.timeOrigin, nodeUp: performance.nodeTiming.bootstrapComplete };
    expect(await main([...argv, "-summary", "-"], { ...io, started })).toBe(0);
    const [, ...lines] = io.stderr.text.trimStart().split("\n");
    const moments = ["Node is up", "command read", "thread started", "host opened", "machine created", "guest entered"];
    const names = lines.map((line) => moments.find((name) => line.startsWith(`  ${name} `)) ?? "");
    expect(names.filter((name) => name !== "")).toEqual(moments);
    expect(lines).toContainEqual(expect.stringMatching(/^ {2}first guest instruction .* after Node was up$/));
  });

  it("-no-reboot ends with a reset; without it the guest starts again, until a signal ends it", async () => {
    const argv = program(temporaryFolder(), (guest) => {
      guest.print("up\n");
      guest.reset();
    });
    expect(await cli([...argv, "-no-reboot"])).toEqual({ status: 0, stdout: "up\n", stderr: "" });
    const { io, said } = terminal();
    const status = main(argv, io);
    await said("up\nup\nup\n");
    process.emit("SIGINT", "SIGINT");
    expect(await status).toBe(128 + 2);
  });

  it("what is typed reaches the guest", async () => {
    const argv = program(temporaryFolder(), (guest) => {
      // Request to send: until then the line is held.
      guest.mov(dx, COM1 + 4);
      guest.mov(al, 2);
      guest.out(dx, al);
      guest.print("name? ");
      guest.label("wait");
      guest.mov(dx, COM1 + 5);
      guest.in(al, dx);
      guest.test(al, 1);
      guest.je("wait");
      guest.mov(dx, COM1);
      guest.in(al, dx);
      guest.out(dx, al);
      guest.cmp(al, "!".charCodeAt(0));
      guest.jne("wait");
      guest.powerOff();
    });
    const { io, said } = terminal();
    const status = main(argv, io);
    await said("name? ");
    io.stdin.push("ada!");
    expect(await status).toBe(0);
    expect(io.stdout.text).toBe("name? ada!");
  });

  it("Ctrl-A a and SIGUSR1 tell of the pages of a guest that spins, which goes on", async () => {
    const argv = program(temporaryFolder(), (guest) => {
      guest.print("up\n");
      guest.spin();
    });
    const stdin = new FakeTerminal(true);
    const { io, said, heard } = terminal(stdin);
    const devices = ["-host", "model:desktop,memlock=1G", "-device", "vfio,host=02:00.0,id=disk", "-device", "edu"];
    const status = main([...argv, ...devices, "-smp", "2"], io);
    await said("up\n");
    stdin.write("\x01a");
    await heard(io.stderr, "\r\nmachine pc (running) on modelled host desktop: ");
    process.kill(process.pid, "SIGUSR1");
    await heard(io.stderr, "\r\nmachine pc (running) on modelled host desktop: ", 2);
    stdin.write("\x01x");
    expect(await status).toBe(0);
    expect(io.stdout.text).toBe("up\n");
    const [first, second] = io.stderr.text
      .replaceAll("\r\n", "\n")
      .trim()
      .split(/\n\n(?=machine pc)/);
    expect(second).toBe(first);
    expect(first).toContain("; count of non-coherent DMA: 0\n");
    expect(first).toContain("this process has 32 MiB of locked memory (VmLck)\n");
    expect(first).toMatch(/\nRAM +0x0 +32 MiB +RAM +mapped /);
    expect(first).toMatch(/\n0000:02:00\.0 BAR 0 +0xc\w+ +16 KiB +64-bit +trapped +UC +UC +UC /);
    expect(first).toMatch(/\ndev1 BAR 0 +0xc\w+ +1 MiB +32-bit +trapped +UC +UC +UC /);
    expect(first).toContain("pinned now  all 32 MiB, for container default\n");
  });

  it("has a function of a modelled host and device models on its bus", async () => {
    const folder = temporaryFolder();
    const image = join(folder, "d.img");
    writeFileSync(image, "");
    truncateSync(image, 1 << 20);
    const argv = program(folder, (guest) => {
      isInSlot(guest, 1, NVME);
      isInSlot(guest, 2, EDU);
      isInSlot(guest, 5, NVME);
      isInSlot(guest, 6, 0xffff_ffff);
      guest.powerOff();
    });
    const devices = ["-device", "vfio,host=02:00.0,id=disk", "-device", "edu", "-device", "nvme,drive=d,addr=5"];
    const { status, stdout, stderr } = await cli([
      ...[...argv, "-host", "model:desktop", "-drive", `file=${image},if=none,id=d`, ...devices, "-summary", "-"],
    ]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: "slot 1\nslot 2\nslot 5\nslot 6\n" });
    expect(stderr).toContain("\nIOMMU domains\n  default: 0000:02:00.0; 32 MiB of RAM pinned");
    expect(stderr).toContain("\n  disk in slot 1");
  });

  it.each([
    [["-smp", "33"], 2, /^minivmm: machine pc cannot have 33 CPUs\nhint: /],
    [["-host", "model:desktop", "-device", "vfio,host=09:00.0"], 1, /^minivmm: there is no PCI device 0000:09:00\.0/],
    [
      ["-host", "model:desktop,memlock=1M", "-device", "vfio,host=02:00.0"],
      1,
      /needs 33554432 bytes \(32 MiB\) of locked memory.* 1048576 bytes .*\nhint: .*\nhint: minivmm memlock/,
    ],
    [
      ["-drive", "file=/nonexistent/d,id=d", "-device", "nvme,drive=d"],
      1,
      /^minivmm: cannot open the disk image \/non/,
    ],
    [["-initrd", "/nonexistent/i"], 2, /^minivmm: cannot read the initrd: \/nonexistent\/i: no such file/],
    [["-host", "model:desktop,disk=/nonexistent/d"], 1, /^minivmm: .*\/nonexistent\/d/],
  ])("%j: one clear message from whichever thread", async (words, status, message) => {
    const argv = program(temporaryFolder(), (guest) => guest.powerOff());
    const outcome = await cli([...argv, ...words]);
    expect(outcome.stderr).toMatch(message);
    expect(outcome).toMatchObject({ status, stdout: "" });
    expect(outcome.stderr).not.toMatch(/\n {4}at /);
  });
});
