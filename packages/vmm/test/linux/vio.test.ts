// An unmodified Linux kernel with its own ibmvscsi driver on the VIO bus: a SCSI disk whose DMA goes through a TCE table,
// alone and next to an emulated NVMe disk and one that is passed through by VFIO.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { EIO } from "@minivmm/host";
import { modelHost } from "@minivmm/model-host";
import { memoryDisk, nvme } from "@minivmm/pci/devices";
import { describe, expect, it } from "vitest";
import { cpioCharDevice, cpioDirectory, cpioFile, writeCpio } from "../../src/boot/index.ts";
import type { DeviceConfig, VmConfig } from "../../src/config.ts";
import { diskPattern, linuxDiskInit, NVME_MODULES, VSCSI_MODULES, WRITE_PATTERN } from "../../src/guests/index.ts";
import type { PseriesSummary } from "../../src/summary.ts";
import { createVm, type VmExit } from "../../src/vm.ts";

const KERNEL = process.env.MINIVMM_GUEST_KERNEL ?? "";
const MODULES = process.env.MINIVMM_GUEST_MODULES ?? "";
const MIB = 0x10_0000;

function initrd(modules: readonly string[], devices: readonly string[], bytes: number): Uint8Array {
  const name = (module: string): string => `modules/${module.slice(module.lastIndexOf("/") + 1)}`;
  const wanted = [...new Set(modules)];
  const init = linuxDiskInit({ modules: wanted.map((module) => `/${name(module)}`), devices, bytes });
  return writeCpio([
    cpioDirectory("dev"),
    cpioCharDevice("dev/console", 5, 1),
    cpioDirectory("modules"),
    ...wanted.map((module) => cpioFile(name(module), readFileSync(join(MODULES, module)), 0o644)),
    cpioFile("init", init),
  ]);
}

/** Bytes of a disk that a guest can check and write `bytes` of behind. */
function diskBytes(bytes: number): Uint8Array {
  const disk = new Uint8Array(8 * MIB);
  disk.set(diskPattern(bytes));
  return disk;
}

function expectWritten(disk: Uint8Array, bytes: number): void {
  expect(Buffer.compare(disk.subarray(bytes, 2 * bytes), diskPattern(bytes, WRITE_PATTERN))).toBe(0);
}

interface Boot {
  readonly exit: VmExit;
  readonly text: string;
  readonly summary: PseriesSummary;
}

async function boot(
  config: Partial<VmConfig> & Pick<VmConfig, "initrd" | "devices">,
  disk?: Uint8Array,
): Promise<Boot> {
  using model = modelHost("power9", disk === undefined ? {} : { disk });
  let text = "";
  using vm = await createVm(model.spawn({ memlock: Number.POSITIVE_INFINITY }), {
    machine: "pseries",
    memoryBytes: 256 * MIB,
    kernel: { path: KERNEL },
    append: "console=hvc0 rdinit=/init panic=-1 cryptomgr.notests",
    clock: "instructions",
    console: {
      write: (bytes) => {
        text += new TextDecoder().decode(bytes);
      },
    },
    ...config,
  });
  const exit = await vm.run();
  if (process.env.MINIVMM_SHOW_CONSOLE) console.log(text, JSON.stringify(vm.summary(), undefined, 1));
  return { exit, text, summary: vm.summary() };
}

function expectPass({ exit, text }: Boot): void {
  expect(text).toContain("minivmm-init: PASS");
  expect(exit).toEqual({ status: 0, reason: "power-off" });
}

describe("vmm: Linux on pseries with virtual SCSI", () => {
  it("reads and writes /dev/sda with the kernel's own ibmvscsi, through the TCE table of the unit address", async () => {
    const disk = diskBytes(MIB);
    const done = await boot({
      initrd: initrd(VSCSI_MODULES, ["/dev/sda"], MIB),
      devices: [{ driver: "spapr-vscsi", id: "scsi", reg: 0x7100_0003, disks: [{ disk: memoryDisk(disk) }] }],
    });
    expectPass(done);
    expectWritten(disk, MIB);
    expect(done.text).toContain("ibmvscsi 71000003: SRP_LOGIN succeeded");
    expect(done.text).toContain("sda] 16384 512-byte logical blocks");
    expect(done.text).toContain("disk: size 8388608 bytes");
    const [vio] = done.summary.vio;
    expect(vio).toMatchObject({ name: "scsi", unit: 0x7100_0003, refused: 0, bytesWritten: MIB });
    expect(vio!.bytesRead).toBeGreaterThan(2 * MIB - 1);
    expect(done.summary.interrupts.scsi).toBeGreaterThan(10);
    expect(done.summary.hypercalls).toMatchObject({ H_REG_CRQ: 1 });
    expect(done.summary.hypercalls.H_SEND_CRQ).toBeGreaterThan(60);
    // All of it was mapped page by page: nothing else uses TCEs in this machine.
    expect(done.summary.tce.userSpace.H_PUT_TCE! + done.summary.tce.userSpace.H_PUT_TCE_INDIRECT!).toBeGreaterThan(100);
  });

  it("has three disks on one table class: VIO, emulated PCI and VFIO", async () => {
    const [scsi, emulated, passed] = [diskBytes(MIB / 4), diskBytes(MIB / 4), diskBytes(MIB / 4)];
    const devices: DeviceConfig[] = [
      { driver: "spapr-vscsi", id: "scsi", disks: [{ disk: memoryDisk(scsi) }] },
      { driver: "emulated", device: nvme({ disk: memoryDisk(emulated) }), id: "emulated" },
      { driver: "vfio-pci", host: "0001:01:00.0", id: "passed" },
    ];
    const names = ["/dev/sda", "/dev/nvme0n1", "/dev/nvme1n1"];
    const modules = [...NVME_MODULES, ...VSCSI_MODULES];
    const done = await boot({ initrd: initrd(modules, names, MIB / 4), devices, ddw: false }, passed);
    expectPass(done);
    for (const disk of [scsi, emulated, passed]) expectWritten(disk, MIB / 4);
    for (const name of ["scsi", "emulated", "passed"]) expect(done.summary.interrupts[name]).toBeGreaterThan(5);
    expect(done.summary.dma[0]).toMatchObject({ mapErrors: 0, unmapErrors: 0, notRam: 0 });
  });

  it("does so when the guest runs in the kernel's KVM", async () => {
    const disk = diskBytes(MIB / 4);
    const done = await boot({
      initrd: initrd(VSCSI_MODULES, ["/dev/sda"], MIB / 4),
      devices: [{ driver: "spapr-vscsi", id: "scsi", disks: [{ disk: memoryDisk(disk) }] }],
      accel: "kvm",
      clock: "wall",
    });
    expectPass(done);
    expectWritten(disk, MIB / 4);
    expect(done.summary.vio[0]).toMatchObject({ unit: 0x7100_0001, refused: 0, bytesWritten: MIB / 4 });
    // The kernel keeps the unit's table, and the adapter reads what the kernel wrote there.
    const window = done.summary.windows.find(({ use }) => use === "vio");
    expect(window).toMatchObject({ liobn: 0x7100_0001, inKernel: true, userCalls: 0 });
    const { realMode, virtualMode, userSpace } = done.summary.tce;
    expect(Object.values(userSpace).every((count) => count === 0)).toBe(true);
    expect((realMode?.H_PUT_TCE ?? 0) + (virtualMode?.H_PUT_TCE ?? 0)).toBeGreaterThan(10);
    expect((realMode?.H_STUFF_TCE ?? 0) + (virtualMode?.H_STUFF_TCE ?? 0)).toBeGreaterThan(10);
  });

  it("has three disks on one table class under KVM too, accelerated each by its own rule", async () => {
    const [scsi, emulated, passed] = [diskBytes(MIB / 4), diskBytes(MIB / 4), diskBytes(MIB / 4)];
    const devices: DeviceConfig[] = [
      { driver: "spapr-vscsi", id: "scsi", disks: [{ disk: memoryDisk(scsi) }] },
      { driver: "emulated", device: nvme({ disk: memoryDisk(emulated) }), id: "emulated" },
      { driver: "vfio-pci", host: "0001:01:00.0", id: "passed" },
    ];
    const names = ["/dev/sda", "/dev/nvme0n1", "/dev/nvme1n1"];
    const modules = [...NVME_MODULES, ...VSCSI_MODULES];
    const config = { initrd: initrd(modules, names, MIB / 4), devices, accel: "kvm", clock: "wall" } as const;
    const done = await boot({ ...config, ddw: false, vfioAccel: false }, passed);
    expectPass(done);
    for (const disk of [scsi, emulated, passed]) expectWritten(disk, MIB / 4);
    // The bus's window is the passed-through disk's too, so its calls are user space's; the adapter's are not.
    const places = done.summary.windows.map(({ use, inKernel }) => [use, inKernel]);
    expect(places).toEqual([
      ["vio", true],
      ["vfio", false],
    ]);
    expect(done.summary.dma[0]).toMatchObject({ mapErrors: 0, unmapErrors: 0, notRam: 0, linked: 0 });
    expect(done.summary.dma[0]!.mapCalls).toBeGreaterThan(50);
  });

  it("hears of a disk's errors as medium errors, and of its write protection", async () => {
    const failing = memoryDisk(diskBytes(MIB));
    const { read } = failing;
    failing.read = (offset, into) => (offset + into.length > MIB / 2 ? -EIO : read.call(failing, offset, into));
    const initrdOf = initrd(VSCSI_MODULES, ["/dev/sda"], MIB);
    const broken = await boot({ initrd: initrdOf, devices: [{ driver: "spapr-vscsi", disks: [{ disk: failing }] }] });
    expect(broken.text).toContain("critical medium error");
    // Linux tells programs of a medium error with ENODATA.
    expect(broken.text).toContain("FAIL read, error 61");
    const locked = { ...memoryDisk(diskBytes(MIB)), readonly: true };
    const refused = await boot({ initrd: initrdOf, devices: [{ driver: "spapr-vscsi", disks: [{ disk: locked }] }] });
    expect(refused.text).toContain("[sda] Write Protect is on");
    expect(refused.text).toMatch(/FAIL .*error/);
  });
});
