// An unmodified Linux kernel on machine pseries: to its init and power-off, with an NVMe controller passed through by
// VFIO on the modelled POWER9 host, in every way that its DMA and its interrupts can take.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { modelHost } from "@minivmm/model-host";
import { memoryDisk, nvme } from "@minivmm/pci/devices";
import { describe, expect, it } from "vitest";
import { cpioCharDevice, cpioDirectory, cpioFile, writeCpio } from "../../src/boot/index.ts";
import type { DeviceConfig, VmConfig } from "../../src/config.ts";
import { diskPattern, linuxDiskInit, NVME_MODULES, WRITE_PATTERN } from "../../src/guests/index.ts";
import type { PseriesSummary } from "../../src/summary.ts";
import { createVm, type VmExit } from "../../src/vm.ts";

const KERNEL = process.env.MINIVMM_GUEST_KERNEL ?? "";
const MODULES = process.env.MINIVMM_GUEST_MODULES ?? "";
const MIB = 0x10_0000;
const APPEND = "console=hvc0 rdinit=/init panic=-1 cryptomgr.notests";
const VFIO = { driver: "vfio-pci", host: "0001:01:00.0", id: "disk" } satisfies DeviceConfig;

function initrd(interactive = false): Uint8Array {
  const name = (module: string): string => `modules/${module.slice(module.lastIndexOf("/") + 1)}`;
  const init = linuxDiskInit({ modules: NVME_MODULES.map((module) => `/${name(module)}`), bytes: MIB, interactive });
  return writeCpio([
    cpioDirectory("dev"),
    cpioCharDevice("dev/console", 5, 1),
    cpioDirectory("modules"),
    ...NVME_MODULES.map((module) => cpioFile(name(module), readFileSync(join(MODULES, module)), 0o644)),
    cpioFile("init", init),
  ]);
}

interface Boot {
  readonly exit: VmExit;
  readonly text: string;
  readonly summary: PseriesSummary;
  readonly disk: Uint8Array;
}

async function boot(
  more: Partial<VmConfig> = {},
  device: "vfio" | "emulated" = "vfio",
  { freezeAt, checked, ...on }: { realMode?: boolean; freezeAt?: string; checked?: boolean } = {},
): Promise<Boot> {
  const disk = new Uint8Array(8 * MIB);
  disk.set(diskPattern(MIB));
  using model = modelHost("power9", { disk, ...on });
  let text = "";
  using vm = await createVm(model.spawn({ memlock: Number.POSITIVE_INFINITY }), {
    machine: "pseries",
    memoryBytes: 256 * MIB,
    kernel: { path: KERNEL },
    initrd: initrd(),
    append: APPEND,
    clock: "instructions",
    devices: [device === "vfio" ? VFIO : { driver: "emulated", device: nvme({ disk: memoryDisk(disk) }), id: "disk" }],
    console: {
      write: (bytes) => {
        const before = text;
        text += new TextDecoder().decode(bytes);
        if (freezeAt === undefined || before.includes(freezeAt) || !text.includes(freezeAt)) return;
        model.faults.freezePe(VFIO.host);
      },
    },
    ...(checked ? { coherency: { observeDma: (watch) => model.topology.watchDma(watch) } } : {}),
    ...more,
  });
  const exit = await vm.run();
  return { exit, text, summary: vm.summary(), disk };
}

function expectPass({ exit, text, disk }: Boot): void {
  expect(text).toContain("minivmm-init: PASS");
  expect(exit).toEqual({ status: 0, reason: "power-off" });
  expect(Buffer.compare(disk.subarray(MIB, 2 * MIB), diskPattern(MIB, WRITE_PATTERN))).toBe(0);
}

describe("vmm: Linux on pseries", () => {
  it("reads and writes a passed-through NVMe disk through a dynamic window and MSI-X", async () => {
    const done = await boot();
    expectPass(done);
    expect(done.summary.interrupts.disk).toBeGreaterThan(10);
    expect(done.summary.devices).toMatchObject([{ name: "disk", slot: 1, problems: [] }]);
    expect(done.summary.timeline.map(({ name }) => name)).toContain("dynamic DMA window");
    expect(done.summary.tce.userSpace).toMatchObject({ H_PUT_TCE_INDIRECT: 1 });
    expect(done.summary.dma[0]).toMatchObject({ windowsCreated: 2, mapErrors: 0, windowErrors: 0, notRam: 0 });
  });

  it("does so through the default window, mapping and unmapping each transfer", async () => {
    const done = await boot({ ddw: false });
    expectPass(done);
    expect(done.summary.dma[0]!.mapCalls).toBeGreaterThan(500);
    expect(done.summary.dma[0]).toMatchObject({ windowsCreated: 1, mapErrors: 0, unmapErrors: 0 });
  });

  it("does so with its DMA checked, of which nothing is found", async () => {
    for (const [device, ddw] of [
      ["vfio", true],
      ["vfio", false],
      ["emulated", false],
    ] as const) {
      const done = await boot({ ddw }, device, { checked: true });
      expectPass(done);
      expect(done.summary.coherency).toEqual([]);
    }
  });

  it("does so with INTx only", async () => {
    const done = await boot({ append: `${APPEND} pci=nomsi` });
    expectPass(done);
    expect(done.summary.interrupts["pci INTx 1"]).toBeGreaterThan(10);
  });

  it("does so although the disk's PE freezes meanwhile: the guest finds out and recovers it by EEH", async () => {
    const done = await boot({}, "vfio", { freezeAt: "disk: size" });
    expectPass(done);
    expect(done.text).toContain("EEH: Recovery successful.");
    expect(done.summary.rtasCalls).toMatchObject({ "ibm,set-slot-reset": 2, "ibm,slot-error-detail": 1 });
    expect(done.summary.devices[0]).toMatchObject({ problems: [] });
  });

  it("does so with the disk emulated instead of passed through, and there is no EEH then", async () => {
    const done = await boot({}, "emulated");
    expectPass(done);
    expect(done.text).toContain("EEH functionality not supported");
  });

  it("does so in 96 MiB and in 3 GiB, where RTAS has another place", async () => {
    for (const mib of [96, 3072]) expectPass(await boot({ memoryBytes: mib * MIB }));
  });

  it("does so on the wall clock", async () => {
    expectPass(await boot({ clock: "wall" }));
  });

  it("does so under the modelled host's KVM, which answers what it can itself", async () => {
    const done = await boot({ accel: "kvm", clock: "wall" });
    expectPass(done);
    expect(done.summary.accelerator).toBe("kvm");
    expect(done.summary.kernelHypercalls?.H_CEDE).toBeGreaterThan(0);
    expect(done.summary.hypercalls.H_CEDE).toBeUndefined();
    expect(done.summary.hypercalls.H_PUT_TERM_CHAR).toBeGreaterThan(100);
  });

  const stages = ({ summary: { tce } }: Boot) => ({
    real: sum(tce.realMode),
    virtual: sum(tce.virtualMode),
    user: sum(tce.userSpace),
  });
  const sum = (calls: Readonly<Record<string, number>> = {}): number => Object.values(calls).reduce((a, b) => a + b, 0);
  const place = ({ summary }: Boot): unknown[] =>
    summary.windows.map(({ use, inKernel, userCalls }) => ({ use, inKernel, userCalls }));

  it("has every TCE call of a passed-through disk answered by KVM, with and without a dynamic window", async () => {
    for (const [ddw, windows] of [
      [true, 2],
      [false, 1],
    ] as const) {
      const done = await boot({ accel: "kvm", clock: "wall", ddw });
      expectPass(done);
      const { real, virtual, user } = stages(done);
      expect(user).toBe(0);
      // All but the first of a table's pages need no help from virtual mode.
      expect(real).toBeGreaterThanOrEqual(512);
      expect(virtual).toBeLessThan(20);
      if (!ddw) expect(real + virtual).toBeGreaterThan(600);
      expect(place(done)).toEqual(new Array(windows).fill({ use: "vfio", inKernel: true, userCalls: 0 }));
      expect(done.summary.dma[0]).toMatchObject({
        mapCalls: 0,
        unmapCalls: 0,
        linked: windows,
        windowsCreated: windows,
      });
    }
  });

  it("has them answered in user space when the user says so, and by virtual mode where there is no other", async () => {
    const off = await boot({ accel: "kvm", clock: "wall", ddw: false, vfioAccel: false });
    expectPass(off);
    expect(stages(off)).toMatchObject({ real: 0, virtual: 0 });
    expect(off.summary.dma[0]!.mapCalls).toBeGreaterThan(500);
    expect(off.summary.windows[0]).toMatchObject({ inKernel: false, reason: "switched off by vfio-accel=off" });
    const virtual = await boot({ accel: "kvm", clock: "wall", ddw: false }, "vfio", { realMode: false });
    expectPass(virtual);
    expect(stages(virtual)).toMatchObject({ real: 0, user: 0 });
    expect(stages(virtual).virtual).toBeGreaterThan(600);
  });

  it("has those of an emulated disk answered by KVM, whatever is said of passed-through ones", async () => {
    const done = await boot({ accel: "kvm", clock: "wall", ddw: false, vfioAccel: false }, "emulated");
    expectPass(done);
    expect(stages(done).user).toBe(0);
    expect(stages(done).real).toBeGreaterThan(600);
    expect(place(done)).toEqual([{ use: "emulated", inKernel: true, userCalls: 0 }]);
  });

  it("executes the same instructions each time when time is counted in them", async () => {
    const counts = [];
    for (let i = 0; i < 2; i++) counts.push((await boot()).summary.instructions);
    expect(counts[1]).toBe(counts[0]);
  });

  it.each(["soft", "kvm"] as const)("takes what is typed at its console (%s)", async (accel) => {
    let deliver: (bytes: Uint8Array) => void = () => {};
    let text = "";
    const type = (line: string): void => deliver(new TextEncoder().encode(line));
    const console = {
      onInput: (give: typeof deliver) => {
        deliver = give;
      },
      write: (bytes: Uint8Array) => {
        const before = text;
        text += new TextDecoder().decode(bytes);
        if (!before.includes("PASS") && text.includes("PASS")) setTimeout(() => type("good evening\n"), 20);
        const heard = text.split("good evening").length > 2;
        if (heard && before.split("good evening").length <= 2) setTimeout(() => type("poweroff\n"), 20);
      },
    };
    const { exit, summary } = await boot({ console, accel, clock: "wall", initrd: initrd(true) });
    expect(exit.reason).toBe("power-off");
    expect(text).toContain("good evening");
    expect(summary.interrupts.console).toBeGreaterThan(0);
    expect(summary.console.inputBytes).toBe("good evening\npoweroff\n".length);
  });

  it("ends with a reset when the kernel panics", async () => {
    const { exit, text } = await boot({ append: APPEND.replace("/init", "/nothing") });
    expect(text).toContain("Kernel panic");
    expect(exit.reason).toBe("reset");
  });
});
