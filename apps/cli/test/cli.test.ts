// The command as a user meets it: what it prints, what it answers with, and that it leaves nothing behind.
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { cpioFile, writeCpio } from "@minivmm/vmm/boot";
import { bareDiskProgram, diskPattern, READ_PATTERN, WRITE_PATTERN } from "@minivmm/vmm/guests";
import { describe, expect, it } from "vitest";
import { cli, temporaryFolder } from "./helpers.ts";

const BYTES = 128 << 10;
const MODEL = ["-host", "model:power9"];

function bareKernel(folder: string): string {
  const path = join(folder, "guest");
  writeFileSync(path, bareDiskProgram({ bytes: BYTES }));
  return path;
}

function patternDisk(folder: string): string {
  const path = join(folder, "disk.img");
  writeFileSync(path, diskPattern(BYTES, READ_PATTERN));
  truncateSync(path, 1 << 20);
  return path;
}

describe("cli run: a whole run", () => {
  it("gives a guest a disk through VFIO, written back to the image file", async () => {
    const folder = temporaryFolder();
    const disk = patternDisk(folder);
    const summary = join(folder, "summary.json");
    const { status, stdout, stderr } = await cli([
      ...[
        "-M",
        "pseries",
        "-m",
        "64",
        "-kernel",
        bareKernel(folder),
        "-nographic",
        "-host",
        `model:power9,disk=${disk}`,
      ],
      ...["-device", "vfio,host=0001:01:00.0", "-summary", summary, "-name", "g1"],
    ]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain("minivmm-bare: PASS\n");
    const after = readFileSync(disk);
    expect(Buffer.compare(after.subarray(BYTES, 2 * BYTES), diskPattern(BYTES, WRITE_PATTERN))).toBe(0);
    const { name, machine, instructions, timeline } = JSON.parse(readFileSync(summary, "utf8"));
    expect({ name, machine }).toEqual({ name: "g1", machine: "pseries" });
    expect(instructions).toBeGreaterThan(1000);
    expect(timeline.map((mark: { name: string }) => mark.name)).toContain("power off");
  });

  it("plugs a device model with a drive straight in, and prints the summary on standard error", async () => {
    const folder = temporaryFolder();
    const disk = patternDisk(folder);
    const { status, stdout, stderr } = await cli([
      ...["run", "--memory=64M", "--kernel", bareKernel(folder), "--summary=-", "--host", "model:power9"],
      ...["--drive", `file=${disk},if=none,id=d0`, "--device", "nvme,drive=d0,addr=01"],
    ]);
    expect(status).toBe(0);
    expect(stdout).toContain("minivmm-bare: PASS\n");
    expect(stderr).toMatch(/^\nTimeline\n {2}machine created/);
    expect(stderr).not.toContain("\x1b");
  });

  it("prints nothing of the guest with -serial none", async () => {
    const folder = temporaryFolder();
    const { status, stdout } = await cli([
      ...["-m", "64", "-kernel", bareKernel(folder), "-serial", "none", "-device", "vfio,host=0001:01:00.0"],
      ...["-host", `model:power9,disk=${patternDisk(folder)}`],
    ]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
  });
});

describe("cli run: bad input", () => {
  const cases: [string, (folder: string) => string[], number, RegExp][] = [
    [
      "a missing kernel",
      () => ["-kernel", "/nonexistent/k"],
      2,
      /^minivmm: cannot read the kernel: \/nonexistent\/k: no such file or directory\nhint: /,
    ],
    [
      "a folder as kernel",
      (folder) => ["-kernel", folder],
      2,
      /^minivmm: cannot read the kernel: .*: it is not a file\nhint: /,
    ],
    [
      "a kernel that is no ELF file",
      (folder) => ["-kernel", text(folder)],
      1,
      /^minivmm: .*text: not an ELF file\nhint: /,
    ],
    ["no kernel", () => ["-m", "512"], 2, /^minivmm: no kernel is given\nhint: add -kernel/],
    [
      "a SCSI disk whose image is missing",
      (folder) => ["-kernel", bareKernel(folder), "-host", "model:power9", "-drive", "file=/nonexistent/d,if=scsi"],
      1,
      /^minivmm: cannot open the disk image \/nonexistent\/d: .*\n.*hint: /s,
    ],
    [
      "two SCSI disks in one place",
      (folder) => [
        ...["-kernel", bareKernel(folder), "-host", "model:power9", "-device", "spapr-vscsi,id=s"],
        ...["-drive", `file=${patternDisk(folder)},id=a`, "-device", "scsi-hd,drive=a,scsi-id=1,lun=0"],
        ...["-drive", `file=${patternDisk(folder)},id=b`, "-device", "scsi-hd,drive=b,scsi-id=1,lun=0"],
      ],
      2,
      /^minivmm: s: disk 1: another disk is at 0:1:0\nhint: /,
    ],
    [
      "a SCSI adapter at the console's unit address",
      (folder) => ["-kernel", bareKernel(folder), "-host", "model:power9", "-device", "spapr-vscsi,reg=0x71000000"],
      2,
      /^minivmm: device dev0: cannot use the unit address 0x71000000: the console is there\nhint: 0x71000001 is free/,
    ],
    [
      "too little memory",
      (folder) => ["-kernel", bareKernel(folder), "-m", "1"],
      2,
      /^minivmm: .*(memory|RAM).*\nhint: /,
    ],
    [
      "no size",
      (folder) => ["-kernel", bareKernel(folder), "-m", "lots"],
      2,
      /^minivmm: -m: size: "lots" is not a size\nhint: /,
    ],
    [
      "memory that is no whole number of MiB",
      (folder) => ["-kernel", bareKernel(folder), "-m", "1500K"],
      2,
      /^minivmm: guest memory .*\nhint: /,
    ],
    [
      "a missing initrd",
      (folder) => ["-kernel", bareKernel(folder), "-initrd", "/nonexistent/i"],
      2,
      /^minivmm: cannot read the initrd: \/nonexistent\/i: no such/,
    ],
    [
      "an initrd that is none",
      (folder) => ["-kernel", bareKernel(folder), "-initrd", text(folder)],
      2,
      /the initrd cannot be used: .*: it is no cpio archive/,
    ],
    [
      "a truncated initrd",
      (folder) => ["-kernel", bareKernel(folder), "-initrd", truncated(folder, false)],
      2,
      /the initrd cannot be used: .*: cpio: the archive ends/,
    ],
    [
      "a truncated compressed initrd",
      (folder) => ["-kernel", bareKernel(folder), "-initrd", truncated(folder, true)],
      2,
      /the initrd cannot be used: .*: unexpected end of file/,
    ],
    [
      "a device that is not there",
      (folder) => ["-kernel", bareKernel(folder), "-device", "vfio,host=0009:01:00.0"],
      1,
      /^minivmm: there is no PCI device 0009:01:00\.0 .*\nhint: /,
    ],
    [
      "a device that a host driver holds",
      (folder) => ["-kernel", bareKernel(folder), "-device", "vfio,host=0000:01:00.0"],
      1,
      /^minivmm: .*(bound|driver).*\nhint: .*vfio-pci/,
    ],
    [
      "a missing disk image",
      (folder) => ["-kernel", bareKernel(folder), "-drive", "file=/nonexistent/d,id=d", "-device", "nvme,drive=d"],
      1,
      /^minivmm: cannot open the disk image \/nonexistent\/d/,
    ],
    [
      "a summary that cannot be written",
      (folder) => ["-kernel", bareKernel(folder), "-summary", "/nonexistent/s.json"],
      1,
      /minivmm: cannot write the summary: \/nonexistent\/s\.json: no such file/,
    ],
    [
      "an unknown option",
      () => ["-kernle", "x"],
      2,
      /^minivmm: unknown option -kernle\nhint: did you mean -kernel\?\n$/,
    ],
    ["an unknown command", () => ["rnu"], 2, /^minivmm: unknown command "rnu"\nhint: did you mean run\?\n$/],
    ["a word too many", () => ["run", "disk.img"], 2, /^minivmm: unknown argument: disk\.img\nhint: /],
  ];
  for (const [title, argv, status, message] of cases) {
    it(`says one clear thing about ${title}`, async () => {
      const folder = temporaryFolder();
      const words = argv(folder);
      const before = readdirSync(folder);
      const model = words.some((word) => word === "-kernel") ? MODEL : [];
      const outcome = await cli([...words, ...model]);
      expect(outcome.stderr).toMatch(message);
      expect(outcome.status).toBe(status);
      expect(outcome.stderr).not.toMatch(/\n {4}at /);
      expect(readdirSync(folder)).toEqual(before);
      expect(process.listenerCount("SIGTERM")).toBe(0);
    });
  }

  it("shows the stack with --debug", async () => {
    expect((await cli(["-kernel", "/nonexistent/k", "--debug"])).stderr).toMatch(/\n {4}at /);
  });

  function text(folder: string): string {
    const path = join(folder, "text");
    writeFileSync(path, "this is a text\n".repeat(20));
    return path;
  }

  function truncated(folder: string, compressed: boolean): string {
    const path = join(folder, "initrd");
    const archive = writeCpio([
      cpioFile(
        "init",
        new Uint8Array(5000).map((_, i) => i * 7),
      ),
    ]);
    const bytes = compressed ? gzipSync(archive) : archive;
    writeFileSync(path, bytes.subarray(0, bytes.length >> 1));
    return path;
  }
});

describe("cli devices", () => {
  it("lists a modelled host's functions with what stands in the way", async () => {
    const { status, stdout } = await cli(["devices", ...MODEL]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ADDRESS +IDS +CLASS +DRIVER +GROUP +FOR A GUEST\n/);
    expect(stdout).toMatch(/^0001:01:00\.0 +1b36:0010 +NVMe controller +vfio-pci +\d+ +ready for a guest$/m);
    expect(stdout).toMatch(/^0000:01:00\.0 .* held by host driver nvme$/m);
    expect(stdout).toMatch(/^0003:02:02\.0 .* bind it to vfio-pci$/m);
  });

  it("says the same as JSON", async () => {
    const { stdout } = await cli(["devices", "--json", ...MODEL]);
    const held = JSON.parse(stdout).find((entry: { address: string }) => entry.address === "0000:01:00.0");
    expect(held).toMatchObject({
      vendor: 0x1b36,
      device: 0x10,
      driver: "nvme",
      viability: "held",
      className: "NVMe controller",
    });
    expect(held.blockedBy).toEqual(["0000:01:00.0 nvme"]);
  });
});

describe("cli help", () => {
  it("is shown for nothing, help, -h and --help, of the whole and of a command", async () => {
    for (const argv of [[], ["help"], ["-h"], ["--help"], ["-help"]]) {
      const { status, stdout } = await cli(argv);
      expect({ argv, status, commands: /minivmm run[\s\S]*minivmm image[\s\S]*minivmm demo/.test(stdout) }).toEqual({
        argv,
        status: 0,
        commands: true,
      });
    }
    const { stdout } = await cli(["run", "-help"]);
    for (const option of ["--machine", "--kernel", "--device", "--host", "--summary"]) expect(stdout).toContain(option);
    expect(stdout).not.toMatch(/\[(array|boolean)\]/);
  });

  it("knows its version", async () => {
    expect((await cli(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
