import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { resolveConfig, type VmConfig } from "../src/config.ts";
import { ConsolePort } from "../src/console.ts";

const base: VmConfig = {
  machine: "pseries",
  memoryBytes: 0x1000_0000,
  kernel: { bytes: new Uint8Array(4) },
  console: { write: () => {} },
};

describe("vmm config", () => {
  it("fills in defaults", () => {
    expect(resolveConfig(base)).toMatchObject({
      append: "",
      devices: [],
      clock: "wall",
      dmaWindowBytes: 0x4000_0000,
      ddw: true,
    });
  });

  it("reads the kernel from a file", () => {
    const path = join(mkdtempSync(join(tmpdir(), "vmm-")), "kernel");
    writeFileSync(path, "abc");
    expect([...resolveConfig({ ...base, kernel: { path } }).kernel]).toEqual([97, 98, 99]);
    expect(() => resolveConfig({ ...base, kernel: { path: `${path}.no` } })).toThrow(
      expect.objectContaining({ code: "USAGE_KERNEL_UNREADABLE" }),
    );
  });

  it("completes and compares addresses of devices", () => {
    const devices = [{ driver: "vfio-pci", host: "01:00.0" }] as const;
    expect(resolveConfig({ ...base, devices }).devices[0]).toMatchObject({ host: "0000:01:00.0" });
  });

  it.each<[string, object, string]>([
    ["an unknown machine", { machine: "pc" }, "USAGE_CONFIG"],
    ["memory that is not whole MiB", { memoryBytes: 1000 }, "USAGE_MEMORY_ALIGNMENT"],
    ["no memory", { memoryBytes: 0 }, "USAGE_MEMORY_ALIGNMENT"],
    ["a command line that is too long", { append: "x".repeat(3000) }, "USAGE_CONFIG"],
    ["a DMA window that is no power of two", { dmaWindowBytes: 0x3000_0000 }, "USAGE_CONFIG"],
    ["a DMA window of 4 GiB", { dmaWindowBytes: 2 ** 32 }, "USAGE_CONFIG"],
    ["an unknown clock", { clock: "sun" }, "USAGE_CONFIG"],
    ["an unknown driver", { devices: [{ driver: "e1000" }] }, "USAGE_CONFIG"],
    ["an address that is none", { devices: [{ driver: "vfio-pci", host: "nvme0" }] }, "USAGE_CONFIG"],
    [
      "a container by name and by descriptor",
      { devices: [{ driver: "vfio-pci", host: "0001:01:00.0", container: "a", containerFd: 3 }] },
      "USAGE_CONFIG",
    ],
    [
      "a function given twice",
      { devices: ["0001:01:00.0", "0001:01:00.0"].map((host) => ({ driver: "vfio-pci", host })) },
      "USAGE_CONFIG",
    ],
  ])("refuses %s", (_, change, code) => {
    expect(() => resolveConfig({ ...base, ...change } as VmConfig)).toThrow(expect.objectContaining({ code }));
  });
});

describe("vmm console", () => {
  it("keeps order, drops and counts input that does not fit", () => {
    let deliver: (bytes: Uint8Array) => void = () => {};
    const port = new ConsolePort({ write: () => {}, onInput: (d) => (deliver = d) });
    deliver(new Uint8Array(4000).fill(1));
    const some = new Uint8Array(3000);
    expect(port.take(some)).toBe(3000);
    deliver(new Uint8Array(4000).fill(2));
    expect(port.inputDropped).toBe(904);
    const rest = new Uint8Array(5000);
    expect(port.take(rest)).toBe(4096);
    expect([rest[0], rest[999], rest[1000], rest[4095]]).toEqual([1, 1, 2, 2]);
  });

  it("hands output over at a line's end, at 1 KiB, and when asked", () => {
    const lengths: number[] = [];
    const port = new ConsolePort({ write: (bytes) => lengths.push(bytes.length) });
    port.put(new Uint8Array(1500).fill(65), 1500);
    expect(lengths).toEqual([1024]);
    port.put(Uint8Array.of(10), 1);
    expect(lengths).toEqual([1024, 477]);
    port.put(Uint8Array.of(65), 1);
    port.flush();
    port.flush();
    expect(lengths).toEqual([1024, 477, 1]);
    expect(port.outputBytes).toBe(1502);
  });
});
