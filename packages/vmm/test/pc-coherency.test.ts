// Machine pc on hosts where some IOMMU units can make DMA snoop and others cannot: which functions share a container or a page
// table, and what KVM counts.
import { type HostDescription, modelHostDescription } from "@minivmm/model-host";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PcDeviceConfig } from "../src/machines/pc/devices.ts";
import { PcBench, RAM_BYTES, spawn, stillHost } from "./pc-bench.ts";
import { NvmeGuest } from "./pc-nvme.ts";

const NVME = "0000:02:00.0";
const EDU = "0000:00:05.0";
const BRIDGED = "0000:04:01.0";
const BRIDGE = "0000:00:03.0";
const RAM_PAGES = RAM_BYTES / 4096;

const vfio = (host: string, rest: object = {}): PcDeviceConfig => ({ driver: "vfio-pci", host, ...rest });

interface MixedOptions {
  /** Functions and bridges behind a unit without snoop control. */
  readonly without: readonly string[];
  readonly kernelConfig?: HostDescription["kernelConfig"];
}

function mixed({ without, kernelConfig }: MixedOptions): HostDescription {
  const units = without.length === 0 ? [] : [{ scope: [...without], snoopControl: false }];
  const description: HostDescription = { ...modelHostDescription("desktop"), iommu: { kind: "type1", units } };
  return kernelConfig === undefined ? description : { ...description, kernelConfig };
}

interface BenchOptions extends MixedOptions {
  readonly profile?: "6.12" | "6.1";
  /** RLIMIT_MEMLOCK in pages of 4 KiB, without CAP_IPC_LOCK. */
  readonly lockable?: number;
  readonly cpuVendor?: string;
}

function benchWith(devices: readonly PcDeviceConfig[], options: BenchOptions): PcBench {
  const { profile = "6.12", lockable, cpuVendor } = options;
  const { model } = stillHost(mixed(options), { profile });
  const process = spawn(model, lockable === undefined ? {} : { memlock: lockable * 4096, capabilities: [] });
  const readFile = process.readFile.bind(process);
  process.readFile = (path) =>
    path === "/proc/cpuinfo" && cpuVendor !== undefined
      ? new TextEncoder().encode(`vendor_id\t: ${cpuVendor}\n`)
      : readFile(path);
  return new PcBench({ model, process, devices });
}

/** What each domain of the machine holds, and whether its DMA always snoops. */
function domains(bench: PcBench): [name: string, functions: readonly string[], snoops: boolean | null][] {
  return bench.box.devices
    .domainSummaries()
    .map(({ name, functions, enforcesSnoop }) => [name, functions, enforcesSnoop]);
}

function expectWorkingDisk(bench: PcBench, slot: number): void {
  const nvme = new NvmeGuest(bench, slot);
  nvme.start();
  nvme.identify();
  expect(nvme.serial()).toBe("guest-disk");
}

/** Whether the page table that a function's DMA goes through now makes it snoop. */
function tableEnforces(bench: PcBench, bdf: string): boolean | undefined {
  const domain = bench.model.topology.get(bdf).group?.domain;
  return (domain as { enforcesSnoop?: boolean } | null | undefined)?.enforcesSnoop;
}

describe("pc coherency: containers", () => {
  it.each(["6.12", "6.1"] as const)(
    "on Linux %s a function whose DMA need not snoop gets a container of its own",
    (profile) => {
      using bench = benchWith([vfio(NVME), vfio(EDU), vfio(BRIDGED)], { without: [EDU], profile });
      expect(domains(bench)).toEqual([
        ["default", [NVME, BRIDGED], true],
        ["default, apart", [EDU], false],
      ]);
      expect(bench.process.mm.lockedPages).toBe(2 * RAM_PAGES);
      expect(bench.vm.noncoherentDmaCount).toBe(1);
      expect(bench.vm.assignedDeviceCount).toBe(3);
      expect(bench.box.devices.problems).toEqual([]);
      expectWorkingDisk(bench, 1);
      bench.box.close();
      expect(bench.vm.noncoherentDmaCount).toBe(0);
      expect(bench.process.mm.lockedPages).toBe(0);
      expect(bench.process.fds.list()).toEqual([]);
    },
  );

  it("it is the others that are put beside one that came first", () => {
    using bench = benchWith([vfio(EDU), vfio(NVME), vfio(BRIDGED)], { without: [EDU, BRIDGE] });
    expect(domains(bench)).toEqual([
      ["default", [EDU, BRIDGED], false],
      ["default, apart", [NVME], true],
    ]);
    expectWorkingDisk(bench, 2);
  });

  it("functions of one group stay together", () => {
    using bench = benchWith([vfio(EDU), vfio(BRIDGED), vfio("0000:04:02.0")], { without: [BRIDGE] });
    expect(domains(bench)).toEqual([
      ["default", [EDU], true],
      ["default, apart", [BRIDGED, "0000:04:02.0"], false],
    ]);
  });

  it("shares one where all are alike, and KVM counts what all of them are", () => {
    for (const without of [[], [NVME, EDU, BRIDGE]]) {
      using bench = benchWith([vfio(NVME), vfio(EDU), vfio(BRIDGED)], { without });
      expect(domains(bench)).toEqual([["default", [NVME, EDU, BRIDGED], without.length === 0]]);
      expect(bench.vm.noncoherentDmaCount).toBe(without.length === 0 ? 0 : 1);
      expect(bench.process.mm.lockedPages).toBe(RAM_PAGES);
    }
  });

  it("shares one after all when locked memory does not suffice for two, and says so", () => {
    using bench = benchWith([vfio(NVME), vfio(EDU), vfio(BRIDGED)], { without: [EDU], lockable: 1.5 * RAM_PAGES });
    expect(domains(bench)).toEqual([["default", [NVME, EDU, BRIDGED], false]]);
    expect(bench.process.mm.lockedPages).toBe(RAM_PAGES);
    expect(bench.vm.noncoherentDmaCount).toBe(1);
    expect(bench.box.devices.problems).toEqual([
      expect.stringMatching(/^0000:00:05\.0 shares a container .* RAM charged again \(.*ENOMEM.*\)$/s),
    ]);
    expectWorkingDisk(bench, 1);
    bench.box.close();
    expect(bench.process.mm.lockedPages).toBe(0);
    expect(bench.process.fds.list()).toEqual([]);
  });

  it("does not overrule a container that was named, nor one that was handed in", () => {
    const named = [vfio(NVME, { container: "all" }), vfio(EDU, { container: "all" })];
    using bench = benchWith(named, { without: [EDU] });
    expect(domains(bench)).toEqual([["all", [NVME, EDU], false]]);
    const { model } = stillHost(mixed({ without: [EDU] }));
    const process = spawn(model);
    const containerFd = process.open("/dev/vfio/vfio", 2);
    const devices = [vfio(NVME, { containerFd }), vfio(EDU, { containerFd })];
    using handed = new PcBench({ model, process, devices });
    expect(domains(handed)).toEqual([[`descriptor ${containerFd}`, [NVME, EDU], false]]);
  });

  it("shares an iommufd that serves as the container, which has page tables for each kind", () => {
    const kernelConfig = { iommufd: true, container: "iommufd" } as const;
    using bench = benchWith([vfio(NVME), vfio(EDU)], { without: [EDU], kernelConfig });
    expect(domains(bench)).toEqual([["default", [NVME, EDU], false]]);
    expect([NVME, EDU].map((bdf) => tableEnforces(bench, bdf))).toEqual([true, false]);
    expect(bench.vm.noncoherentDmaCount).toBe(1);
  });

  it("tells what KVM makes of it, by CPU and kernel", () => {
    const cases = [
      ["GenuineIntel", "6.12", [], { nonCoherent: false, ramType: "write-back", wbinvd: false }],
      ["GenuineIntel", "6.12", [NVME], { nonCoherent: true, ramType: "guest-pat", wbinvd: true }],
      ["GenuineIntel", "6.1", [NVME], { nonCoherent: true, ramType: "guest-mtrr-and-pat", wbinvd: true }],
      ["AuthenticAMD", "6.1", [], { nonCoherent: false, ramType: "guest-pat", wbinvd: false }],
      ["Nobody", "6.12", [NVME], { nonCoherent: true, ramType: null, wbinvd: true }],
    ] as const;
    for (const [cpuVendor, profile, without, facts] of cases) {
      using bench = benchWith([vfio(NVME)], { without, profile, cpuVendor });
      expect(bench.box.devices.kvmDma()).toEqual(facts);
    }
    using alone = benchWith([], { without: [] });
    expect(alone.box.devices.kvmDma()).toBeUndefined();
  });

  it("named or not, in whatever order: no domain loses snooping that could have kept it", () => {
    const order = fc.shuffledSubarray([NVME, EDU, BRIDGED], { minLength: 1 });
    const names = fc.array(fc.constantFrom(undefined, "a", "b"), { minLength: 3, maxLength: 3 });
    const check = (order: readonly string[], without: readonly string[], names: readonly (string | undefined)[]) => {
      const wanted = order.map((bdf, index) => ({ bdf, container: names[index] }));
      const devices = wanted.map(({ bdf, container }) => vfio(bdf, container === undefined ? {} : { container }));
      using bench = benchWith(devices, { without });
      const snoops = (bdf: string): boolean => !without.includes(bdf === BRIDGED ? BRIDGE : bdf);
      const seen = domains(bench);
      for (const [domain, members, enforced] of seen) {
        expect(enforced).toBe(members.every(snoops));
        if (domain.startsWith("default")) expect(new Set(members.map(snoops)).size).toBe(1);
      }
      for (const { bdf, container } of wanted) {
        const home = seen.find(([, members]) => members.includes(bdf))?.[0];
        expect(home?.startsWith("default")).toBe(container === undefined);
        if (container !== undefined) expect(home).toBe(container);
      }
      expect(bench.vm.noncoherentDmaCount).toBe(order.every(snoops) ? 0 : 1);
      expect(bench.process.mm.lockedPages).toBe(seen.length * RAM_PAGES);
    };
    fc.assert(fc.property(order, fc.subarray([NVME, EDU, BRIDGE]), names, check), { numRuns: 40 });
  });
});

describe("pc coherency: iommufds", () => {
  const kernelConfig = { iommufd: true, deviceCdev: true };
  const iommufd = { id: "iommufd0" };

  it.each([
    ["first", [EDU, NVME, BRIDGED]],
    ["last", [NVME, BRIDGED, EDU]],
  ] as const)(
    "RAM is pinned once, and a function whose DMA need not snoop takes it from nobody when it comes %s",
    (_, order) => {
      const devices = order.map((bdf) => vfio(bdf, { iommufd }));
      using bench = benchWith(devices, { without: [EDU], kernelConfig });
      expect(domains(bench)).toEqual([["iommufd iommufd0", order, false]]);
      expect([NVME, EDU, BRIDGED].map((bdf) => tableEnforces(bench, bdf))).toEqual([true, false, true]);
      expect(bench.process.mm.pinnedPages).toBe(RAM_PAGES);
      expect(bench.vm.noncoherentDmaCount).toBe(1);
      expectWorkingDisk(bench, order.indexOf(NVME) + 1);
      bench.box.close();
      expect(bench.process.fds.list()).toEqual([]);
      expect(bench.process.mm.pinnedPages).toBe(0);
    },
  );

  it("functions of one group have one page table, which the first of them got", () => {
    const order = [EDU, BRIDGED, "0000:04:02.0"];
    using bench = benchWith(
      order.map((bdf) => vfio(bdf, { iommufd })),
      { without: [EDU], kernelConfig },
    );
    expect(order.map((bdf) => tableEnforces(bench, bdf))).toEqual([false, true, true]);
  });

  it("is coherent where all are", () => {
    using bench = benchWith([vfio(NVME, { iommufd }), vfio(EDU, { iommufd })], { without: [], kernelConfig });
    expect(domains(bench)).toEqual([["iommufd iommufd0", [NVME, EDU], true]]);
    expect(bench.vm.noncoherentDmaCount).toBe(0);
    expect(bench.box.devices.kvmDma()?.nonCoherent).toBe(false);
  });
});
