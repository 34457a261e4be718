// What of the real machine can be told without its devices: which cases it plays, and that it plays none in this process.
import type { Host } from "@minivmm/host";
import { describe, expect, test } from "vitest";
import { parseRecording, type RecordedMachine, realMachine, replayRecording } from "../src/index.ts";
import { unfit } from "../src/machines/real-fit.ts";

const recorded: RecordedMachine = {
  arch: "x86_64",
  rig: "full",
  release: "6.12.117+deb12-amd64",
  pageSize: 4096,
  devices: [{ name: "edu0", bdf: "0000:00:01.0", group: 1, driver: "vfio-pci" }],
};

/** Capabilities of an IOMMU with `bits` address bits, as sysfs shows them. */
const capabilities = (bits: number): string => `${((BigInt(bits - 1) << 16n) | 0x8n).toString(16)}\n`;

/** Files of a machine that fits; "" takes one away. */
function machine(changes: Record<string, string> = {}): Host {
  const files: Record<string, string> = {
    "/proc/sys/kernel/osrelease": "6.12.9-other\n",
    "/proc/interrupts": " 4: 10 IR-IO-APIC 4-edge ttyS0\n",
    "/sys/module/vfio_pci": "folder",
    "/sys/module/vfio_pci/parameters/nointxmask": "N\n",
    "/sys/class/iommu/dmar0/intel-iommu/cap": capabilities(48),
    "/sys/bus/pci/devices/0000:00:01.0": "folder",
    "/sys/bus/pci/devices/0000:00:01.0/iommu_group": "link",
    ...changes,
  };
  const host: Partial<Host> = {
    arch: "x86_64",
    pageSize: 4096,
    exists: (path) => Boolean(files[path]),
    readFile: (path) => (files[path] ? new TextEncoder().encode(files[path]) : -2),
  };
  return host as Host;
}

describe("conformance: the real machine", () => {
  test.each([
    ["as recorded", {}, null],
    ["another kernel", { "/proc/sys/kernel/osrelease": "6.1.0-56-amd64" }, /recorded on Linux 6\.12, this is 6\.1/],
    ["no vfio-pci", { "/sys/module/vfio_pci": "" }, /not loaded/],
    ["no device", { "/sys/bus/pci/devices/0000:00:01.0": "" }, /no device edu0/],
    ["without masking", { "/sys/module/vfio_pci/parameters/nointxmask": "Y\n" }, /this one is "nointxmask"/],
    ["without remapping", { "/proc/interrupts": " 4: 10 IO-APIC 4-edge ttyS0\n" }, /"nointremap"/],
    ["a narrow IOMMU", { "/sys/class/iommu/dmar0/intel-iommu/cap": capabilities(39) }, /"aw39"/],
    ["a wide IOMMU", { "/sys/class/iommu/dmar0/intel-iommu/cap": capabilities(57) }, /57 address bits/],
    ["no IOMMU", { "/sys/bus/pci/devices/0000:00:01.0/iommu_group": "" }, /"noiommu"/],
  ])("conformance real: %s", (_, changes, reason) => {
    const why = unfit(machine(changes), recorded);
    if (reason === null) expect(why).toBeNull();
    else expect(why).toMatch(reason);
  });

  test("conformance real: a case of each way to boot fits a machine booted so", () => {
    const ways = { nointxmask: { "/sys/module/vfio_pci/parameters/nointxmask": "Y" }, noiommu: {} };
    expect(unfit(machine(ways.nointxmask), { ...recorded, rig: "nointxmask" })).toBeNull();
    expect(unfit(machine(), { ...recorded, rig: "noiommu" })).toMatch(/this one is "full"/);
    expect(unfit(machine(), { ...recorded, arch: "ppc64le" })).toMatch(/recorded on ppc64le/);
    expect(unfit(machine(), { ...recorded, pageSize: 65536 })).toMatch(/65536/);
  });

  test.runIf(process.platform === "linux" && process.arch === "x64")(
    "conformance real: nothing is played in this process, and cases of other machines are skipped",
    () => {
      const real = realMachine();
      expect(() => real.enter(recorded, { capabilities: [] })).toThrow(
        expect.objectContaining({ code: "MACHINE_UNSUITABLE" }),
      );
      const elsewhere = { rig: "full", release: "2.6.32", devices: [] };
      const lines = [{ meta: elsewhere }, { case: "old", begin: "a kernel that nobody runs" }];
      const recording = parseRecording("old", lines.map((line) => JSON.stringify(line)).join("\n"));
      expect(replayRecording(recording, real)).toMatchObject({
        skipped: 1,
        cases: [{ skipped: expect.stringContaining("2.6") }],
      });
    },
  );
});
