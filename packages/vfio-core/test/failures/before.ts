// What goes wrong before a node is opened: no device, no IOMMU in front of it, no driver or another's.
import * as vfio from "../../src/index.ts";
import { BRIDGED_FREE, BRIDGED_HOST, EDU, testHost } from "../fixture.ts";
import { DEVICES, type Failure, put } from "./table.ts";

/** A host whose IOMMU is off, with these files. */
function unprotected(files: Record<string, string>, arch: "x86_64" | "ppc64le" = "x86_64"): () => unknown {
  const { process, kernel } = testHost({ arch });
  kernel.sysfs.remove(`${DEVICES}/${EDU}/iommu_group`);
  kernel.sysfs.remove("/sys/kernel/iommu_groups");
  for (const [path, text] of Object.entries(files)) put(kernel, path, text);
  return () => vfio.iommuGroupOf(process, EDU);
}

const INTEL = "vendor_id\t: GenuineIntel\n";
const AMD = "vendor_id\t: AuthenticAMD\n";

export const BEFORE: Failure[] = [
  {
    what: "an address without a device",
    make: () => () => vfio.iommuGroupOf(testHost().process, "77:00.0"),
    code: "NO_DEVICE",
    says: ["no PCI device 0000:77:00.0 on modelled Linux"],
    helps: ["lspci -D"],
  },
  {
    what: "the IOMMU off on an Intel machine",
    make: () => unprotected({ "/proc/cpuinfo": INTEL, "/proc/cmdline": "quiet" }),
    code: "NO_IOMMU_GROUP",
    says: [EDU, "the IOMMU is off or absent"],
    helps: ["Enable VT-d in the firmware", "intel_iommu=on"],
    details: { vendor: "Intel" },
  },
  {
    what: "the IOMMU off on an Intel machine whose firmware offers it",
    make: () => unprotected({ "/proc/cpuinfo": INTEL, "/sys/firmware/acpi/tables/DMAR": "DMAR" }),
    code: "NO_IOMMU_GROUP",
    says: [EDU],
    helps: [/^The firmware offers one: start the kernel with intel_iommu=on/],
  },
  {
    what: "the IOMMU off by the kernel's command line",
    make: () => unprotected({ "/proc/cpuinfo": AMD, "/proc/cmdline": "quiet amd_iommu=off" }),
    code: "NO_IOMMU_GROUP",
    says: ["the kernel was started with amd_iommu=off"],
    helps: [/^Take amd_iommu=off off/],
    details: { parameter: "amd_iommu=off" },
  },
  {
    what: "the IOMMU off on an AMD machine",
    make: () => unprotected({ "/proc/cpuinfo": AMD }),
    code: "NO_IOMMU_GROUP",
    says: [EDU],
    helps: [/^Enable AMD-Vi/, "without a parameter"],
  },
  {
    what: "no IOMMU on POWER",
    make: () => unprotected({}, "ppc64le"),
    code: "NO_IOMMU_GROUP",
    says: [EDU],
    helps: ["powernv"],
  },
  {
    what: "an IOMMU that does not cover the device",
    make: () => {
      const { process, kernel } = testHost();
      kernel.sysfs.remove(`${DEVICES}/${EDU}/iommu_group`);
      return () => vfio.iommuGroupOf(process, EDU);
    },
    code: "NO_IOMMU_GROUP",
    says: ["on, but not in front of this device"],
    helps: ["another slot"],
  },
  {
    what: "a device without a driver",
    make: () => () => vfio.requireVfioDriver(testHost().process, BRIDGED_FREE),
    code: "NOT_BOUND",
    says: [`${BRIDGED_FREE} is bound to no driver`],
    helps: [`echo vfio-pci > ${DEVICES}/${BRIDGED_FREE}/driver_override; echo ${BRIDGED_FREE} >`],
  },
  {
    what: "a device that the host uses",
    make: () => {
      const { process, core } = testHost();
      core.bind(BRIDGED_HOST, "e1000");
      return () => vfio.requireVfioDriver(process, BRIDGED_HOST);
    },
    code: "DEVICE_HELD",
    says: [`${BRIDGED_HOST} is held by the host driver e1000`],
    helps: [`echo ${BRIDGED_HOST} > ${DEVICES}/${BRIDGED_HOST}/driver/unbind`],
    details: { driver: "e1000" },
  },
];
