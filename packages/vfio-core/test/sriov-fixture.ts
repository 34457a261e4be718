// A modelled host with one NVMe controller that has two virtual functions, on vfio-pci behind a port of its own.
import type { KernelProfile } from "@minivmm/host/model";
import { ManualClock, ModelKernel } from "@minivmm/host/model";
import { PciTopology } from "@minivmm/pci";
import { memoryDisk, nvme } from "@minivmm/pci/devices";
import { VfioContainer, VfioGroup, vfioIoctls } from "../src/index.ts";
import { VfioCore } from "../src/model/index.ts";
import { FLAT_IOMMU, FlatIommu } from "./fixture.ts";

export const PF = "0000:01:00.0";
export const VF0 = "0000:01:00.1";
export const VF1 = "0000:01:00.2";
export const DEVICES = "/sys/bus/pci/devices";
export const DRIVERS = "/sys/bus/pci/drivers";
const PARAMETER = "/sys/module/vfio_pci/parameters/enable_sriov";

export function sriovHost(options: { profile?: KernelProfile; driver?: string | null; enableSriov?: boolean } = {}) {
  const { profile = "6.12", driver = "vfio-pci", enableSriov = true } = options;
  const clock = new ManualClock();
  const kernel = new ModelKernel({ clock, profile });
  const device = nvme({ disk: memoryDisk(0x10000), queues: 6, vectors: 4, sriov: { vfs: 2, flexibleQueues: 4 } });
  const topology = PciTopology.fromDescription({
    domains: [
      {
        devices: [
          {
            at: "01.0",
            bridge: "root-port",
            driver: "pcieport",
            hotplug: true,
            children: [{ at: "00.0", device, driver }],
          },
        ],
      },
    ],
  });
  const core = new VfioCore(kernel, topology, { enableSriov });
  core.registerIommuDriver(new FlatIommu(kernel));
  const process = kernel.spawn({ capabilities: ["SYS_RAWIO"] });
  const numvfs = `${DEVICES}/${PF}/sriov_numvfs`;
  const ioctls = vfioIoctls("x86_64");
  return {
    clock,
    kernel,
    topology,
    core,
    process,
    ioctls,
    pf: topology.get(PF),
    /** Content of an attribute without its newline, or -errno. */
    read(path: string): string | number {
      const content = process.readFile(path);
      return typeof content === "number" ? content : new TextDecoder().decode(content).replace(/\n$/, "");
    },
    /** 0 or -errno. */
    write: (path: string, text: string): number => Math.min(0, process.writeFile(path, text)),
    setVfs: (count: number | string): number => Math.min(0, process.writeFile(numvfs, `${count}`)),
    /** The function's group in a container of its own, with the flat IOMMU. */
    attach(bdf: string): VfioGroup {
      const group = VfioGroup.open(process, topology.get(bdf).group?.id ?? -1);
      const container = VfioContainer.open(process);
      group.setContainer(container);
      container.setIommu(FLAT_IOMMU);
      return group;
    },
    allow: (value: string): number => Math.min(0, process.writeFile(PARAMETER, value)),
    /** GET_DEVICE_FD with what follows the address: a descriptor or -errno. */
    open: (group: VfioGroup, bdf: string, suffix = ""): number =>
      process.ioctl(
        group.fd,
        ioctls.VFIO_GROUP_GET_DEVICE_FD,
        Uint8Array.from(`${bdf}${suffix}\0`, (c) => c.charCodeAt(0)),
      ),
  };
}

export type SriovHost = ReturnType<typeof sriovHost>;
