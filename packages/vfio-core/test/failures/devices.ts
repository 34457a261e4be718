// Devices that refuse: BARs that cannot be mapped, interrupts that cannot be had, resets that do not work.
import { EBUSY, EINVAL } from "@minivmm/host";
import { ModelKernel, type ModelProcess } from "@minivmm/host/model";
import { PciTopology } from "@minivmm/pci";
import { passive } from "@minivmm/pci/devices";
import { VfioCore } from "../../src/model/index.ts";
import { EDU, FlatIommu, NVME, openDevice, PASSIVE, testHost } from "../fixture.ts";
import { DEVICES, type Failure, MIB, put } from "./table.ts";

const SMALL = "0000:00:01.0";

/** A host whose only function has two BARs in one page, as firmware may place them. */
function smallBars(): ModelProcess {
  const kernel = new ModelKernel();
  const bar = (index: number) => ({ index, type: "mem32" as const, size: 0x100 });
  const device = passive({ vendor: 0x8086, device: 0x100e, classCode: 0x020000, bars: [bar(0), bar(1)] });
  const topology = PciTopology.fromDescription({
    barAlignment: 0x100,
    domains: [{ devices: [{ at: "01.0", device, driver: "vfio-pci" }] }],
  });
  kernel.sysfs.link(`${DEVICES}/${SMALL}/iommu_group`, "/sys/kernel/iommu_groups/0");
  new VfioCore(kernel, topology).registerIommuDriver(new FlatIommu(kernel));
  return kernel.spawn();
}

const open = (bdf: string, options: Parameters<typeof testHost>[0] = {}) => {
  const host = testHost(options);
  return { ...host, ...openDevice(host.process, bdf) };
};
const eventfds = (process: ModelProcess, count: number) => Array.from({ length: count }, () => process.eventfd(0, 0));

export const DEVICE: Failure[] = [
  {
    what: "a BAR of I/O ports",
    make: () => {
      const { device } = open(PASSIVE);
      return () => device.mapRegion(2);
    },
    code: "NOT_MAPPABLE",
    errno: EINVAL,
    says: [`BAR 2 of ${PASSIVE} cannot be mapped: its registers are I/O ports`],
    helps: ["readRegion and writeRegion", "accesses trap"],
    details: { reason: "ports", size: 0x20 },
  },
  {
    what: "a BAR smaller than a page that is not alone in it",
    make: () => {
      const { device } = openDevice(smallBars(), SMALL);
      return () => device.mapRegion(1);
    },
    code: "NOT_MAPPABLE",
    errno: EINVAL,
    says: ["its 256 bytes share a page of 4096"],
    helps: ["readRegion"],
    details: { reason: "sub-page" },
  },
  {
    what: "configuration space",
    make: () => {
      const { device } = open(EDU);
      return () => device.mapRegion(7);
    },
    code: "NOT_MAPPABLE",
    errno: EINVAL,
    says: ["configuration space of", "no memory lies behind it"],
    helps: ["readRegion"],
    details: { reason: "no-memory" },
  },
  {
    what: "a BAR that the function does not have",
    make: () => {
      const { device } = open(EDU);
      return () => device.mapRegion(4, 0, 4096);
    },
    code: "NOT_MAPPABLE",
    errno: EINVAL,
    says: ["BAR 4", "does not have it"],
    helps: ["sizes"],
    details: { reason: "absent" },
  },
  {
    what: "more of a BAR than there is",
    make: () => {
      const { device } = open(EDU);
      return () => device.mapRegion(0, 0, 2 * MIB);
    },
    code: "NOT_MAPPABLE",
    errno: EINVAL,
    says: ["2097152 bytes from 0 on go beyond its 1048576"],
    helps: ["less"],
    details: { reason: "outside" },
  },
  {
    what: "a part of a BAR that starts inside a page",
    make: () => {
      const { device } = open(EDU);
      return () => device.mapRegion(0, 512, 4096);
    },
    code: "NOT_MAPPABLE",
    errno: EINVAL,
    says: ["512 is no multiple of the page size 4096"],
    helps: ["start of a page"],
    details: { reason: "unaligned" },
  },
  {
    what: "the page of the MSI-X table on an old kernel",
    make: () => {
      const { process, device } = open(EDU);
      process.mmap = () => -EINVAL;
      return () => device.mapRegion(0);
    },
    code: "NOT_MAPPABLE",
    errno: EINVAL,
    says: ["MSI-X table", "before 4.16"],
    helps: ["readRegion"],
    details: { reason: "msix-table" },
  },
  {
    what: "a BAR that a framebuffer of the host has",
    make: () => {
      const { process, device } = open(EDU);
      process.mmap = () => -EBUSY;
      return () => device.mapRegion(0);
    },
    code: "NOT_MAPPABLE",
    errno: EBUSY,
    says: ["a driver of the host has its addresses"],
    helps: ["/proc/iomem", "reading and writing fail too"],
    details: { reason: "claimed" },
  },
  {
    what: "message interrupts while INTx is enabled",
    make: () => {
      const { process, device } = open(EDU);
      device.setIrqs({ index: 0, fds: eventfds(process, 1) });
      return () => device.setIrqs({ index: 1, fds: eventfds(process, 1) });
    },
    code: "IRQ_MODE",
    errno: EINVAL,
    says: ["cannot enable MSI: another kind of interrupt is enabled"],
    helps: ["disableIrqs"],
  },
  {
    what: "a loopback of interrupts that are off",
    make: () => {
      const { device } = open(EDU);
      return () => device.triggerIrqs(1);
    },
    code: "IRQ_MODE",
    errno: EINVAL,
    says: ["cannot trigger MSI: it is not enabled"],
    helps: ["setIrqs"],
  },
  {
    what: "more vectors than the function has",
    make: () => {
      const { process, device } = open(PASSIVE);
      return () => device.setIrqs({ index: 1, fds: eventfds(process, 5) });
    },
    code: "IRQ_RANGE",
    errno: EINVAL,
    says: ["MSI for vectors 0 to 4: it has 4 of them"],
    helps: ["irq(index)"],
    details: { available: 4 },
  },
  {
    what: "an interrupt line that another device has for itself",
    make: () => {
      const { process, topology } = testHost({ nointxmask: true });
      for (const bdf of [EDU, PASSIVE]) topology.get(bdf).gsi = 17;
      put(process.kernel as ModelKernel, `${DEVICES}/${PASSIVE}/irq`, "17\n");
      openDevice(process, EDU).device.setIrqs({ index: 0, fds: eventfds(process, 1) });
      const { device } = openDevice(process, PASSIVE);
      return () => device.setIrqs({ index: 0, fds: eventfds(process, 1) });
    },
    code: "IRQ_BUSY",
    errno: EBUSY,
    says: [`${PASSIVE} cannot enable INTx: line 17 of the host is used by a driver that does not share it`],
    helps: ["/proc/interrupts", "MSI-X", "nointxmask"],
  },
  {
    what: "an eventfd that is not open",
    make: () => {
      const { device } = open(NVME);
      return () => device.setIrqs({ index: 2, fds: [999] });
    },
    code: "IRQ_EVENTFD",
    errno: 9,
    says: ["cannot enable MSI-X: a descriptor is not open"],
    helps: ["eventfds"],
  },
  {
    what: "a function that cannot be reset alone",
    make: () => {
      const { device } = open(EDU);
      return () => device.reset();
    },
    code: "NO_RESET",
    errno: EINVAL,
    says: [`${EDU} cannot be reset alone: it has no reset of its own`],
    helps: ["hot reset"],
    details: { methods: [] },
  },
  {
    what: "a function that does not come back",
    make: () => {
      const { kernel, topology, device } = open(PASSIVE);
      put(kernel, `${DEVICES}/${PASSIVE}/reset_method`, "flr\n");
      topology.get(PASSIVE).responding = false;
      return () => device.reset();
    },
    code: "RESET_FAILED",
    errno: 25,
    says: [`${PASSIVE} did not come back from its reset (flr, ENOTTY)`],
    helps: ["rescan"],
    details: { methods: ["flr"] },
  },
  {
    what: "a function that somebody else resets",
    make: () => {
      const { topology, device } = open(PASSIVE);
      topology.get(PASSIVE).locked = true;
      return () => device.reset();
    },
    code: "RESET_BUSY",
    errno: 11,
    says: ["somebody is busy with it"],
    helps: ["try again"],
  },
];
