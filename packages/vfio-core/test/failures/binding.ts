// Devices that cannot be bound to an iommufd: who has them, or their group, already.
import { EBUSY, EINVAL, EPERM } from "@minivmm/host";
import * as vfio from "../../src/index.ts";
import { BRIDGED, BRIDGED_FREE, EDU } from "../fixture.ts";
import { iommufdHost } from "../iommufd-fixture.ts";
import { type Failure, groupOf } from "./table.ts";

export const BINDING: Failure[] = [
  {
    what: "a device that is bound through another descriptor",
    make: () => {
      const { kernel, process } = iommufdHost();
      const holder = kernel.spawn({ comm: "crosvm" });
      vfio.VfioCdev.open(holder, EDU).bind(vfio.Iommufd.open(holder));
      const device = vfio.VfioCdev.open(process, EDU);
      return () => device.bind(vfio.Iommufd.open(process));
    },
    code: "DEVICE_BUSY",
    errno: EINVAL,
    says: [/process \d+ \(crosvm\) has \/dev\/vfio\/devices\/vfio\d+ open/],
    helps: [/End process \d+ \(crosvm\)/],
  },
  {
    what: "a device whose group is used through its node",
    make: () => {
      const { kernel, process } = iommufdHost();
      groupOf(kernel.spawn({ comm: "qemu" }), EDU);
      const device = vfio.VfioCdev.open(process, EDU);
      return () => device.bind(vfio.Iommufd.open(process));
    },
    code: "GROUP_BUSY",
    errno: EBUSY,
    says: [`${EDU} cannot be bound to an iommufd`, /process \d+ \(qemu\) has \/dev\/vfio\/0 open/],
    helps: ["through its group or through its own node"],
  },
  {
    what: "a device whose group has another iommufd",
    make: () => {
      const { kernel, process, core } = iommufdHost();
      core.bind(BRIDGED_FREE, "vfio-pci");
      const holder = kernel.spawn({ comm: "qemu" });
      vfio.VfioCdev.open(holder, BRIDGED).bind(vfio.Iommufd.open(holder));
      const device = vfio.VfioCdev.open(process, BRIDGED_FREE);
      return () => device.bind(vfio.Iommufd.open(process));
    },
    code: "GROUP_BUSY",
    errno: EPERM,
    says: ["belongs to another one", /process \d+ \(qemu\)/],
    helps: ["one iommufd"],
  },
  {
    what: "a device bound to an iommufd without isolated interrupts",
    make: () => {
      const { process } = iommufdHost({ iommufd: { interruptRemapping: false } });
      const device = vfio.VfioCdev.open(process, EDU);
      return () => device.bind(vfio.Iommufd.open(process));
    },
    code: "UNSAFE_INTERRUPTS",
    errno: EPERM,
    says: ["its interrupts are not isolated"],
    helps: ["/sys/module/iommufd/parameters/allow_unsafe_interrupts"],
  },
];
