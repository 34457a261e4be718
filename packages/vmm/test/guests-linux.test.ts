import { describe, expect, it } from "vitest";
import { diskPattern, linuxDiskInit, NVME_MODULES, WRITE_PATTERN } from "../src/guests/index.ts";
import { runProcess } from "./guest-process.ts";

const BYTES = 128 << 10;
const DEVICE = "/dev/nvme0n1";

function patternDisk(): Uint8Array {
  const disk = new Uint8Array(BYTES * 3);
  disk.set(diskPattern(BYTES));
  return disk;
}

describe("vmm guests: disk patterns", () => {
  it("are the words that the formula gives", () => {
    const view = new DataView(diskPattern(64, WRITE_PATTERN).buffer);
    for (let i = 0; i < 8; i++) {
      const word = BigInt.asUintN(64, BigInt(i) * WRITE_PATTERN.multiplier) ^ WRITE_PATTERN.xor;
      expect(view.getBigUint64(i * 8, true)).toBe(word);
    }
  });
});

describe("vmm guests: Linux init", () => {
  it("loads modules, waits for the disk, reads, writes, reads back, powers off", () => {
    const disk = patternDisk();
    const modules = NVME_MODULES.map((path) => `/lib/modules/${path}`);
    const program = linuxDiskInit({ modules, bytes: BYTES });
    const result = runProcess(program, { device: DEVICE, disk, opensToFail: 3 });
    expect(result.console).toBe(
      `minivmm-init: started\ndisk: size ${BYTES * 3} bytes\ndisk: read ${BYTES} bytes, pattern ok\n` +
        `disk: wrote ${BYTES} bytes, read back ok\nminivmm-init: PASS\n`,
    );
    expect(result.modules).toEqual(modules);
    expect(result.calls.filter((c) => c === `open ${DEVICE}`).length).toBe(4);
    expect(result.calls.slice(0, 3)).toEqual(["mount /dev", "mount /sys", "mount /proc"]);
    expect(result.calls.at(-1)).toBe("reboot");
    expect(result.flushed).toBe(true);
    expect(disk.slice(BYTES, 2 * BYTES)).toEqual(diskPattern(BYTES, WRITE_PATTERN));
  });

  it("names the first byte offset that is wrong", () => {
    const disk = patternDisk();
    disk[0x12345] = disk[0x12345]! ^ 0x40;
    const result = runProcess(linuxDiskInit({ bytes: BYTES, asInit: false }), { device: DEVICE, disk });
    expect(result.console).toContain(`minivmm-init: FAIL pattern, first bad offset ${0x12340}\n`);
    expect(result.status).toBe(1);
  });

  it("gives up on a disk that never comes, and on one that is too small", () => {
    const disk = patternDisk();
    const absent = linuxDiskInit({ bytes: BYTES, asInit: false, waitSteps: 5 });
    expect(runProcess(absent, { device: DEVICE, disk, opensToFail: 99 }).console).toContain(
      `FAIL cannot open ${DEVICE}, error 2\n`,
    );
    const small = runProcess(linuxDiskInit({ bytes: BYTES, asInit: false }), {
      device: DEVICE,
      disk: disk.slice(0, BYTES + 4096),
    });
    expect(small.console).toContain("FAIL short write, bytes 4096\n");
  });

  it("goes on when a module is there already, and reports one that is refused", () => {
    const program = linuxDiskInit({ modules: ["/a.ko", "/b.ko"], bytes: BYTES, asInit: false });
    const result = runProcess(program, {
      device: DEVICE,
      disk: patternDisk(),
      moduleErrors: { "/a.ko": 17, "/b.ko": 8 },
    });
    expect(result.console).toContain("module /b.ko: error 8\n");
    expect(result.console).not.toContain("/a.ko");
    expect(result.status).toBe(0);
  });

  it("echoes lines until poweroff when interactive", () => {
    const program = linuxDiskInit({ bytes: BYTES, asInit: false, interactive: true });
    const result = runProcess(program, {
      device: DEVICE,
      disk: patternDisk(),
      input: ["hello\n", "poweroff\n", "never\n"],
    });
    expect(result.console).toContain("echo: hello\necho: poweroff\n");
    expect(result.console).not.toContain("never");
  });
});
