// The machine that the recordings were made on, as far as its devices are modelled: teaching devices and NVMe are the
// real models, network, sound and USB functions have the right ids, capabilities and BARs but no behaviour.
import { type KernelProfile, ManualClock, ModelKernel } from "@minivmm/host/model";
import { addPcie, Msi, Msix, PCI_EXP_TYPE_RC_END, type PciDevice, PciTopology } from "@minivmm/pci";
import { edu, memoryDisk, nvme, passive } from "@minivmm/pci/devices";
import { Type1Iommu, type Type1IommuOptions, VfioCore, type VfioCoreOptions } from "../../src/model/index.ts";

export const DEVICES: Record<string, string> = {
  edu0: "0000:00:01.0",
  edu1: "0000:00:05.0",
  nvme0: "0000:01:00.0",
  mf0: "0000:02:00.0",
  mf1: "0000:02:00.1",
  mf2: "0000:02:00.2",
  mf3: "0000:02:00.3",
  mf4: "0000:02:00.4",
  br0: "0000:03:00.0",
  br1: "0000:04:01.0",
  br2: "0000:04:02.0",
  br3u: "0000:04:03.0",
  br3e: "0000:04:03.7",
  nvme2: "0000:0a:00.0",
  vf0: "0000:0a:00.1",
  vf1: "0000:0a:00.2",
  nic0: "0000:05:00.0",
  nvme1: "0000:08:00.0",
  nic1: "0000:09:00.0",
  xhci0: "0000:00:04.0",
  uhci0: "0000:00:1d.0",
  uhci1: "0000:00:1d.1",
  ehci0: "0000:00:1d.7",
};

const board = (device: number, classCode: number): PciDevice => passive({ vendor: 0x8086, device, classCode });
const uhci = (): PciDevice =>
  passive({
    vendor: 0x8086,
    device: 0x2934,
    classCode: 0x0c0300,
    interruptPin: 1,
    bars: [{ index: 4, type: "io", size: 0x20 }],
  });
const ehci = (): PciDevice =>
  passive({
    vendor: 0x8086,
    device: 0x293a,
    classCode: 0x0c0320,
    interruptPin: 4,
    bars: [{ index: 0, type: "mem32", size: 0x1000 }],
  });
const testdev = (): PciDevice =>
  passive({
    vendor: 0x1b36,
    device: 0x0005,
    classCode: 0x00ff00,
    bars: [
      { index: 0, type: "mem32", size: 0x1000 },
      { index: 1, type: "io", size: 0x100 },
    ],
  });
const disk = (): PciDevice => nvme({ disk: memoryDisk(0x10000) });
/** A physical function with two virtual ones, which get most of its queues and interrupts. */
const sriovDisk = (): PciDevice =>
  nvme({
    disk: memoryDisk(0x10000),
    queues: 6,
    vectors: 4,
    sriov: { vfs: 2, flexibleQueues: 4, flexibleVectors: 2 },
  });
const hda = (): PciDevice =>
  passive({
    vendor: 0x8086,
    device: 0x293e,
    classCode: 0x040300,
    interruptPin: 1,
    msi: { vectors: 1 },
    bars: [{ index: 0, type: "mem32", size: 0x4000 }],
  });
function xhci(): PciDevice {
  const bars = [{ index: 0, type: "mem64" as const, size: 0x4000 }];
  const device = passive({
    vendor: 0x1033,
    device: 0x0194,
    classCode: 0x0c0330,
    interruptPin: 1,
    configSize: 4096,
    bars,
  });
  new Msix(device, { vectors: 16, bar: 0, table: 0x3000, pba: 0x3800, at: 0x90 });
  addPcie(device, { type: PCI_EXP_TYPE_RC_END, at: 0xa0 });
  new Msi(device, { vectors: 16, at: 0x70 });
  return device;
}

export interface RigOptions extends VfioCoreOptions {
  type1?: Type1IommuOptions;
}

export function rig(profile: KernelProfile, options: RigOptions = {}) {
  const clock = new ManualClock();
  const kernel = new ModelKernel({ clock, profile });
  const vfio = "vfio-pci";
  const port = "pcieport";
  const after = (ms: number, run: () => void) => clock.after(ms, run);
  const topology = PciTopology.fromDescription({
    domains: [
      {
        memory32: { base: 0xc0000000, size: 0x3f000000 },
        devices: [
          { at: "00.0", device: board(0x29c0, 0x060000) },
          { at: "01.0", device: edu({ after }), driver: vfio, bars: { "0": { address: 0xfe800000 } } },
          {
            at: "02.0",
            bridge: "root-port",
            multifunction: true,
            hotplug: true,
            driver: port,
            children: [{ at: "00.0", device: disk(), driver: vfio }],
          },
          {
            at: "02.1",
            bridge: "root-port",
            driver: port,
            children: [
              { at: "00.0", device: edu({ after }), multifunction: true, driver: vfio },
              { at: "00.1", device: testdev(), driver: vfio },
              { at: "00.2", device: edu({ after }), driver: vfio },
              { at: "00.3", device: hda(), driver: vfio },
              { at: "00.4", device: disk(), driver: vfio },
            ],
          },
          {
            at: "02.2",
            bridge: "root-port",
            driver: port,
            children: [
              {
                at: "00.0",
                bridge: "pcie-pci-bridge",
                children: [
                  { at: "01.0", device: edu({ after }), driver: vfio },
                  { at: "02.0", device: edu({ after }), driver: vfio },
                  { at: "03.0", device: uhci(), multifunction: true, driver: vfio },
                  { at: "03.7", device: ehci(), driver: vfio },
                ],
              },
            ],
          },
          {
            at: "02.3",
            bridge: "root-port",
            driver: port,
            children: [
              {
                at: "00.0",
                device: passive({ vendor: 0x8086, device: 0x10d3, classCode: 0x020000, express: {}, pm: {} }),
                driver: vfio,
              },
            ],
          },
          {
            at: "02.4",
            bridge: "root-port",
            driver: port,
            children: [
              {
                at: "00.0",
                bridge: "upstream-port",
                driver: port,
                children: [
                  {
                    at: "00.0",
                    bridge: "downstream-port",
                    acs: false,
                    driver: port,
                    children: [{ at: "00.0", device: disk(), driver: vfio }],
                  },
                  {
                    at: "01.0",
                    bridge: "downstream-port",
                    acs: false,
                    driver: port,
                    children: [{ at: "00.0", device: edu({ after }), driver: vfio }],
                  },
                ],
              },
            ],
          },
          {
            at: "02.5",
            bridge: "root-port",
            hotplug: true,
            driver: port,
            children: [{ at: "00.0", device: sriovDisk(), driver: vfio }],
          },
          { at: "03.0", device: passive({ vendor: 0x1234, device: 0x1111, classCode: 0x030000 }), driver: vfio },
          { at: "04.0", device: xhci(), driver: vfio },
          { at: "05.0", device: edu({ after }), driver: vfio },
          { at: "1d.0", device: uhci(), multifunction: true, driver: vfio },
          { at: "1d.1", device: uhci(), driver: vfio },
          { at: "1d.7", device: ehci(), driver: vfio },
          {
            at: "1e.0",
            device: passive({ vendor: 0x1af4, device: 0x1003, classCode: 0x078000 }),
            driver: "virtio-pci",
          },
          { at: "1f.0", device: board(0x2918, 0x060100), multifunction: true },
          { at: "1f.2", device: board(0x2922, 0x010601), driver: "ahci" },
          { at: "1f.3", device: board(0x2930, 0x0c0500), driver: "i801_smbus" },
        ],
      },
    ],
  });
  // What the recorded machine's firmware left in COMMAND and the interrupt lines.
  for (const fn of topology.functions) if (!fn.isBridge) fn.writeConfig(4, 2, fn.bars.length > 0 ? 0x103 : 0);
  for (const name of ["edu0", "edu1"]) topology.get(DEVICES[name] as string).writeConfig(0x3c, 1, 10);
  for (const fn of topology.functions) fn.driverOverride = fn.driver;
  const core = new VfioCore(kernel, topology, options);
  core.registerIommuDriver(new Type1Iommu(kernel, { snoopControl: false, topology, ...options.type1 }));
  kernel.registerNode("/dev/null", () => ({ kind: "null", read: () => 0, write: (from) => from.length }), 0o666);
  return { kernel, topology, core, clock };
}

export type Rig = ReturnType<typeof rig>;
