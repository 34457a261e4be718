// The prediction of locked memory against the modelled host: a VM is really set up, VmLck read, and the limit moved to the
// very page at which the kernel refuses.
import type { Host } from "@minivmm/host";
import { H_PUT_TCE, H_SUCCESS } from "@minivmm/kvm";
import { type HostDescription, type ModelHostOptions, modelHost } from "@minivmm/model-host";
import { Type1Container, VFIO_TYPE1v2_IOMMU, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import {
  kernelRelease,
  kvmTceFacts,
  kvmTceTableBytes,
  type LockPrediction,
  lockFacts,
  predictLockedMemory,
  surveyContainers,
  tceTableBytes,
} from "../src/attributes/index.ts";
import type { VfioPciConfig } from "../src/config/functions.ts";
import { createVm, type VmConfig } from "../src/index.ts";
import { DmaWindows } from "../src/machines/pseries/ddw.ts";
import { PHB_BUID_HI, PHB_BUID_LO, pciLiobn } from "../src/machines/pseries/memory-map.ts";
import * as T from "../src/machines/pseries/rtas/tokens.ts";
import { SpaprSession } from "../src/pci/spapr-session.ts";
import { VfioPciEndpoint } from "../src/pci/vfio-pci.ts";
import { type Bench, bench } from "./fakes.ts";
import { printAndEnd } from "./small-guests.ts";

const MIB = 2 ** 20;
const DISK: VfioPciConfig = { driver: "vfio-pci", host: "0001:01:00.0" };
const EDU: VfioPciConfig = { driver: "vfio-pci", host: "0002:01:00.0" };

type Setup = Pick<VmConfig, "memoryBytes" | "accel" | "vfioAccel" | "dmaWindowBytes" | "devices">;

function predict(host: Host, { memoryBytes, accel, vfioAccel, dmaWindowBytes, devices = [] }: Setup): LockPrediction {
  const passed = devices.flatMap((device) => (device.driver === "vfio-pci" ? [device] : []));
  const kvm = accel === "kvm" ? kvmTceFacts(host) : null;
  if (typeof kvm === "string") throw new Error(kvm);
  return predictLockedMemory({
    memoryBytes,
    pageSize: host.pageSize,
    machine: "pseries",
    dmaWindowBytes: dmaWindowBytes ?? 1024 * MIB,
    ddw: true,
    kvm,
    vfioAccel: vfioAccel ?? true,
    vioWindows: devices.flatMap(({ driver }) => (driver === "spapr-vscsi" ? [256 * MIB] : [])),
    containers: surveyContainers(host, passed),
    kernel: kernelRelease(host),
  });
}

function make(host: Host, setup: Setup) {
  const kernel = { bytes: printAndEnd("hello\n") };
  return createVm(host, { machine: "pseries", kernel, console: { write: () => {} }, ...setup });
}

/** Bytes that are locked once the VM is set up. */
async function locked(host: Host, setup: Setup): Promise<number | null> {
  using _vm = await make(host, setup);
  return lockFacts(host).locked;
}

interface Case {
  readonly name: string;
  readonly setup: Setup;
  readonly options?: ModelHostOptions;
}

const SETUPS: readonly Case[] = [
  { name: "nothing passed through", setup: { memoryBytes: 64 * MIB } },
  { name: "one disk", setup: { memoryBytes: 64 * MIB, devices: [DISK] } },
  { name: "two functions in one container", setup: { memoryBytes: 64 * MIB, devices: [DISK, EDU] } },
  { name: "two containers", setup: { memoryBytes: 64 * MIB, devices: [DISK, { ...EDU, container: "other" }] } },
  { name: "a window of 2 GiB", setup: { memoryBytes: 32 * MIB, dmaWindowBytes: 2048 * MIB, devices: [DISK] } },
  { name: "a window of 1 MiB", setup: { memoryBytes: 32 * MIB, dmaWindowBytes: MIB, devices: [DISK] } },
  { name: "KVM alone", setup: { memoryBytes: 32 * MIB, accel: "kvm" } },
  { name: "KVM", setup: { memoryBytes: 32 * MIB, accel: "kvm", devices: [DISK] } },
  {
    name: "KVM with virtual SCSI",
    setup: { memoryBytes: 32 * MIB, accel: "kvm", devices: [{ driver: "spapr-vscsi", disks: [] }, DISK] },
  },
  {
    name: "KVM without its tables for passed functions",
    setup: { memoryBytes: 32 * MIB, accel: "kvm", vfioAccel: false, devices: [DISK] },
  },
  { name: "4 KiB pages", setup: { memoryBytes: 32 * MIB, devices: [DISK] }, options: { pageSize: 4096 } },
  { name: "Linux 6.1", setup: { memoryBytes: 32 * MIB, devices: [DISK] }, options: { profile: "6.1" } },
  { name: "Linux 4.12", setup: { memoryBytes: 32 * MIB, devices: [DISK] }, options: { profile: "4.12" } },
];

describe("vmm locked memory: prediction and modelled POWER9", () => {
  it.each(SETUPS)("$name: VmLck is what was predicted", async ({ setup, options = {} }) => {
    using model = modelHost("power9", options);
    const prediction = predict(model.spawn(), setup);
    expect(await locked(model.spawn(), setup)).toBe(prediction.chargedBytes);
    expect(prediction.needBytes).toBeGreaterThanOrEqual(prediction.chargedBytes);
  });

  const limited = SETUPS.filter(({ setup: { devices } }) => devices?.some(({ driver }) => driver === "vfio-pci"));
  it.each(limited)("$name: exactly the need is enough, a page less is not", async ({ setup, options = {} }) => {
    using model = modelHost("power9", options);
    const { needBytes } = predict(model.spawn(), setup);
    const enough = model.spawn({ memlock: needBytes });
    await locked(enough, setup);
    const short = model.spawn({ memlock: needBytes - enough.pageSize });
    const refusal = await locked(short, setup).then(
      () => "",
      (error: Error) => error.message,
    );
    expect(refusal).not.toBe("");
  });

  it("the survey leaves nothing behind, and asks for no memory", async () => {
    using model = modelHost("power9");
    const host = model.spawn({ memlock: 0 });
    const [facts] = surveyContainers(host, [DISK]);
    expect(facts).toMatchObject({ iommu: "spapr-v2", asked: true, enforcesSnoop: false, why: null });
    expect(lockFacts(host).locked).toBe(0);
    await locked(model.spawn(), { memoryBytes: 16 * MIB, devices: [DISK] });
  });

  it("a guest of another hypervisor: one table, not two", async () => {
    using base = modelHost("power9");
    const description: HostDescription = structuredClone(base.description);
    description.iommu = { kind: "spapr", platform: "pseries" };
    using model = modelHost(description);
    const setup = { memoryBytes: 32 * MIB, devices: [DISK] };
    const prediction = predict(model.spawn(), setup);
    expect(await locked(model.spawn(), setup)).toBe(prediction.chargedBytes);
    expect(prediction.chargedBytes).toBe(34 * MIB);
  });

  it("version 1 charges the hardware's window, and no RAM", async () => {
    using model = modelHost("power9", { profile: "3.11" });
    const setup = { memoryBytes: 32 * MIB, devices: [DISK] };
    const prediction = predict(model.spawn(), setup);
    expect(prediction.chargedBytes).toBe(2048 * MIB);
    expect(await locked(model.spawn(), setup)).toBe(prediction.chargedBytes);
  });
});

describe("vmm locked memory: what a guest adds", () => {
  /** Bytes locked before and after the guest's acts on a machine without a CPU, and what was foretold of them. */
  function around(options: ModelHostOptions, act: (b: Bench) => void) {
    using model = modelHost("power9", options);
    const host = model.spawn();
    const b = bench({ dmaWindowBytes: 1024 * MIB });
    const { later } = predict(host, { memoryBytes: b.ram.size, devices: [DISK] });
    const session = new SpaprSession({ host, ram: b.ram, windows: b.machine.tables.on(DmaWindows.liobns) });
    b.machine.phb.plug(new VfioPciEndpoint("disk", host, session.open(DISK.host)), 2);
    const before = lockFacts(host).locked as number;
    act(b);
    const added = (lockFacts(host).locked as number) - before;
    b.machine.close();
    session.close();
    expect(lockFacts(host).locked).toBe(0);
    return { added, later: later.map(({ bytes }) => bytes) };
  }

  it.each([{ pageSize: 65536 }, { pageSize: 4096 }] as const)("a dynamic window over all RAM, %o", (options) => {
    const { added, later } = around(options, (b) => {
      const windowShift = Math.max(24, Math.ceil(Math.log2(b.ram.size)));
      const made = b.rtas(T.RTAS_IBM_CREATE_PE_DMA_WINDOW, [0x1000, PHB_BUID_HI, PHB_BUID_LO, 24, windowShift], 4);
      expect(made[0]).toBe(0);
    });
    expect(later).toEqual([added]);
    expect(added).toBeGreaterThan(0);
  });

  it("Linux 4.12: the user view of the table comes with the first mapping", () => {
    const { added, later } = around({ profile: "4.12" }, (b) => {
      expect(b.hcall(H_PUT_TCE, pciLiobn(0), 0, 0x3)).toBe(H_SUCCESS);
    });
    expect(later[0]).toBe(added);
    expect(added).toBe(2 * MIB);
  });
});

describe("vmm locked memory: type1", () => {
  it("charges RAM once a container, whatever is in it", () => {
    using model = modelHost("desktop");
    const passed = (host: string, container?: string): VfioPciConfig => ({
      driver: "vfio-pci",
      host,
      ...(container === undefined ? {} : { container }),
    });
    const devices = [passed("0000:02:00.0"), passed("0000:00:05.0", "other")];
    const host = model.spawn();
    const containers = surveyContainers(host, devices);
    const prediction = predictLockedMemory({
      memoryBytes: 8 * MIB,
      pageSize: host.pageSize,
      machine: "pc",
      dmaWindowBytes: 1024 * MIB,
      ddw: true,
      kvm: null,
      vfioAccel: true,
      vioWindows: [],
      containers,
      kernel: kernelRelease(host),
    });
    expect(containers.map(({ iommu, enforcesSnoop }) => [iommu, enforcesSnoop])).toEqual([
      ["type1", true],
      ["type1", true],
    ]);
    const ram = new Uint8Array(new SharedArrayBuffer(8 * MIB));
    for (const { groups } of containers) {
      const container = VfioContainer.open(host);
      for (const id of groups) VfioGroup.open(host, id).setContainer(container);
      container.setIommu(VFIO_TYPE1v2_IOMMU);
      new Type1Container(container).mapDma({ iova: 0n, memory: ram });
    }
    expect(lockFacts(host).locked).toBe(prediction.chargedBytes);
    expect(prediction.chargedBytes).toBe(16 * MIB);
  });

  it("a container that is not free is told of, and what is usual assumed", () => {
    using model = modelHost("desktop");
    const devices: VfioPciConfig[] = [{ driver: "vfio-pci", host: "0000:02:00.0" }];
    const holder = model.spawn();
    const [{ groups } = { groups: [] }] = surveyContainers(holder, devices);
    VfioGroup.open(holder, groups[0] as number);
    const [facts] = surveyContainers(model.spawn(), devices);
    expect(facts).toMatchObject({ iommu: "type1", asked: false, enforcesSnoop: null });
    expect(facts?.why).toContain("group");
  });
});

describe("vmm containers: the survey", () => {
  it("a group that was passed in and is in a container already stays there", () => {
    using model = modelHost("desktop");
    const host = model.spawn();
    const [{ groups } = { groups: [] }] = surveyContainers(host, [{ driver: "vfio-pci", host: "0000:02:00.0" }]);
    const group = VfioGroup.open(host, groups[0] as number);
    group.setContainer(VfioContainer.open(host));
    const passed: VfioPciConfig = { driver: "vfio-pci", host: "0000:02:00.0", groupFd: group.fd };
    expect(surveyContainers(host, [passed])[0]).toMatchObject({ asked: false });
    expect(group.status().containerSet).toBe(true);
    group.unsetContainer();
    expect(surveyContainers(host, [passed])[0]).toMatchObject({ asked: true, enforcesSnoop: true });
    expect(group.status()).toEqual({ viable: true, containerSet: false });
  });

  it("a group that two containers of the VM want is told of", () => {
    using model = modelHost("desktop");
    const at = (host: string, container: string): VfioPciConfig => ({ driver: "vfio-pci", host, container });
    const facts = surveyContainers(model.spawn(), [at("0000:02:00.0", "a"), at("0000:02:00.0", "b")]);
    expect(facts.map(({ asked }) => asked)).toEqual([true, false]);
    expect(facts[1]?.why).toContain("another container");
  });
});

describe("vmm locked memory: table sizes", () => {
  // Bare metal, one copy, from the kernel's formula worked by hand.
  it.each([
    [12, 2 ** 31, 1, 65536, 4 * MIB],
    [16, 2 ** 31, 1, 65536, 0.25 * MIB],
    [16, 2 ** 40, 2, 65536, 128 * MIB + 65536],
    [12, 2 ** 20, 1, 4096, 4096],
    [12, 2 ** 31, 6, 65536, 0],
    [16, 2 ** 12, 1, 65536, 0],
  ])("2^%i pages in %i bytes, %i levels, host pages of %i", (shift, bytes, levels, pageSize, expected) => {
    expect(tceTableBytes(shift, bytes, levels, pageSize)).toBe(expected);
  });

  it("KVM's table is its entries and the struct that points to them, in whole pages", () => {
    expect(kvmTceTableBytes(2 ** 18, 65536)).toBe(2 * MIB + 65536);
    expect(kvmTceTableBytes(1, 65536)).toBe(131072);
    expect(kvmTceTableBytes(2 ** 18, 4096)).toBe(2 * MIB + 8192);
  });
});
