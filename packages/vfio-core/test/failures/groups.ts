// Groups and containers that are refused: who else is in the group, which IOMMU there is, what it lacks.
import { EACCES, EBUSY, EINVAL, EPERM } from "@minivmm/host";
import * as vfio from "../../src/index.ts";
import { BRIDGED, BRIDGED_FREE, BRIDGED_HOST, EDU, NVME, openDevice, testHost } from "../fixture.ts";
import { PF, sriovHost, VF0 } from "../sriov-fixture.ts";
import { type1Host, type1Parts } from "../type1-fixture.ts";
import { DEVICES, type Failure, groupOf, put } from "./table.ts";

/** A container on a type1 host, as far as the IOMMU type. */
function container(options: Parameters<typeof type1Parts>[0] = {}, bdf = EDU) {
  const host = type1Parts(options);
  const container = vfio.VfioContainer.open(host.process);
  const group = groupOf(host.process, bdf);
  return { ...host, container, group };
}

export const GROUPS: Failure[] = [
  {
    what: "a group with a member that the host uses",
    make: () => {
      const { process, core } = testHost();
      core.bind(BRIDGED_HOST, "e1000");
      const group = groupOf(process, BRIDGED);
      return () => group.requireViable();
    },
    code: "GROUP_NOT_VIABLE",
    says: [`not viable: ${BRIDGED_HOST} is bound to e1000`],
    helps: ["All devices of a group move together", `echo vfio-pci > ${DEVICES}/${BRIDGED_HOST}/driver_override`],
    details: { blocking: [{ bdf: BRIDGED_HOST, driver: "e1000", bridge: false }] },
  },
  {
    what: "a group with two such members, refused by the kernel",
    make: () => {
      const { process, core } = testHost();
      core.bind(BRIDGED_HOST, "e1000");
      core.bind(BRIDGED_FREE, "e1000");
      const group = groupOf(process, BRIDGED);
      return () => group.setContainer(vfio.VfioContainer.open(process));
    },
    code: "GROUP_NOT_VIABLE",
    errno: EPERM,
    says: [`${BRIDGED_FREE} is bound to e1000, ${BRIDGED_HOST} is bound to e1000`],
    helps: [`echo ${BRIDGED_FREE} >`, `echo ${BRIDGED_HOST} >`],
  },
  {
    what: "a group with a bridge that a hotplug driver has",
    make: () => {
      const { process, core, kernel } = testHost();
      core.bind(BRIDGED_HOST, "shpchp");
      put(kernel, `${DEVICES}/${BRIDGED_HOST}/class`, "0x060400\n");
      const group = groupOf(process, BRIDGED);
      return () => group.requireViable();
    },
    code: "GROUP_NOT_VIABLE",
    says: [`${BRIDGED_HOST} is bound to shpchp`],
    helps: [`echo ${BRIDGED_HOST} > /sys/bus/pci/drivers/shpchp/unbind`],
    details: { blocking: [{ bridge: true }] },
  },
  {
    what: "a group that is not viable on a kernel that looks late",
    make: () => {
      const { process, core } = testHost({ profile: "4.12" });
      core.bind(BRIDGED_HOST, "e1000");
      const container = vfio.VfioContainer.open(process);
      const group = groupOf(process, BRIDGED);
      group.setContainer(container);
      container.setIommu(1);
      return () => group.device(BRIDGED);
    },
    code: "GROUP_NOT_VIABLE",
    errno: EINVAL,
    says: [`${BRIDGED_HOST} is bound to e1000`],
    helps: ["move together"],
  },
  {
    what: "a group in a container already",
    make: () => {
      const { group, container: joined } = container();
      group.setContainer(joined);
      return () => group.setContainer(joined);
    },
    code: "GROUP_ATTACHED",
    errno: EINVAL,
    says: ["has a container already"],
    helps: ["unsetContainer"],
  },
  {
    what: "a group that leaves with a device open",
    make: () => {
      const { group } = openDevice(testHost().process, EDU);
      return () => group.unsetContainer();
    },
    code: "DEVICES_OPEN",
    errno: EBUSY,
    says: ["a device of it is open"],
    helps: ["unmap their BARs"],
  },
  {
    what: "memory that firmware wants a device to reach",
    make: () => {
      const { process, kernel, group, container: joined } = container();
      const regions =
        "0x00000000fee00000 0x00000000feefffff msi\n0x7b800000 0x7fffffff direct\n0x1000 0x1fff direct-relaxable\n";
      put(kernel, `/sys/kernel/iommu_groups/${group.id}/reserved_regions`, regions);
      const ioctl = process.ioctl.bind(process);
      const request = vfio.vfioIoctls(process.arch).VFIO_GROUP_SET_CONTAINER;
      process.ioctl = (fd, number, arg) => (number === request ? -EINVAL : ioctl(fd, number, arg));
      return () => group.setContainer(joined);
    },
    code: "FIRMWARE_MAPPING",
    errno: EINVAL,
    says: ["0x7b800000-0x7fffffff"],
    helps: ["firmware"],
    details: { regions: ["0x7b800000-0x7fffffff"] },
  },
  {
    what: "an IOMMU type of another architecture",
    make: () => {
      const { group, container: joined } = container();
      group.setContainer(joined);
      return () => joined.setIommu(vfio.VFIO_SPAPR_TCE_v2_IOMMU);
    },
    code: "WRONG_IOMMU_TYPE",
    errno: 19,
    says: ["type 7 (sPAPR TCE v2) is not available", "it offers 1 (type1), 3 (type1v2)"],
    helps: ["Set 3 (type1v2) or 1 (type1) here"],
    details: { offered: [1, 3] },
  },
  {
    what: "an IOMMU type whose module is not loaded",
    make: () => {
      const { process, core } = testHost();
      core.iommuDrivers.length = 0;
      const joined = vfio.VfioContainer.open(process);
      groupOf(process, EDU).setContainer(joined);
      return () => joined.setIommu(vfio.VFIO_TYPE1v2_IOMMU);
    },
    code: "WRONG_IOMMU_TYPE",
    errno: 19,
    says: ["it offers none"],
    helps: ["modprobe vfio_iommu_type1"],
  },
  {
    what: "an IOMMU type before there is a group",
    make: () => {
      const { container: empty } = container();
      return () => empty.setIommu(vfio.VFIO_TYPE1v2_IOMMU);
    },
    code: "REFUSED",
    errno: EINVAL,
    says: ["the container has no group, or has a type"],
    helps: ["setContainer"],
  },
  {
    what: "interrupts that are not remapped",
    make: () => {
      const { group, container: joined } = container({ type1: { interruptRemapping: false } });
      group.setContainer(joined);
      return () => joined.setIommu(vfio.VFIO_TYPE1v2_IOMMU);
    },
    code: "UNSAFE_INTERRUPTS",
    errno: EPERM,
    says: ["does not remap interrupts"],
    helps: ["intremap=off", "echo 1 > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"],
    details: { allowed: false },
  },
  {
    what: "another group whose interrupts are not remapped",
    make: () => {
      const isolated = (name: string) => (name === NVME ? { isolatedMsi: false } : {});
      const { process, container: joined } = type1Host({
        type1: { unitOf: (group) => isolated(group.functions[0]?.name ?? "") },
      });
      const second = groupOf(process, NVME);
      return () => second.setContainer(joined);
    },
    code: "UNSAFE_INTERRUPTS",
    errno: EPERM,
    says: [/IOMMU group \d+ cannot join the container: the IOMMU does not remap/],
    helps: ["intremap"],
  },
  {
    what: "a refusal of the IOMMU although interrupts are remapped",
    make: () => {
      const { group, kernel, container: joined } = container({ type1: { interruptRemapping: false } });
      put(kernel, "/proc/interrupts", " 24:  0  IR-PCI-MSI-0000:00:1c.0  0-edge  PCIe PME\n");
      group.setContainer(joined);
      return () => joined.setIommu(vfio.VFIO_TYPE1v2_IOMMU);
    },
    code: "REFUSED",
    errno: EPERM,
    says: ["does not take a device"],
    helps: ["reserved_regions"],
  },
  {
    what: "a device of another group",
    make: () => {
      const { group } = openDevice(testHost().process, EDU);
      return () => group.device(NVME);
    },
    code: "DEVICE_NOT_IN_GROUP",
    errno: 19,
    says: [`device ${NVME}`, "it is not in IOMMU group 0"],
    helps: [`${EDU} (vfio-pci)`],
  },
  {
    what: "a member that is not on vfio-pci",
    make: () => {
      const { group } = openDevice(testHost().process, BRIDGED);
      return () => group.device(BRIDGED_FREE);
    },
    code: "DEVICE_NOT_IN_GROUP",
    errno: 19,
    says: ["it is bound to no driver"],
    helps: [`Bind it to vfio-pci: echo vfio-pci > ${DEVICES}/${BRIDGED_FREE}/driver_override`],
  },
  {
    what: "a device before its group has a container",
    make: () => {
      const group = groupOf(testHost().process, EDU);
      return () => group.device(EDU);
    },
    code: "NO_IOMMU_TYPE",
    errno: EINVAL,
    says: ["in no container with an IOMMU type"],
    helps: ["setIommu"],
  },
  {
    what: "a virtual function without its token",
    make: () => {
      const host = sriovHost();
      host.attach(PF).device(PF);
      host.setVfs(1);
      const group = host.attach(VF0);
      return () => group.device(VF0);
    },
    code: "VF_TOKEN",
    errno: EACCES,
    says: [VF0, "token"],
    helps: [`${VF0} vf_token=UUID`],
  },
  {
    what: "a token for what takes none",
    make: () => {
      const { group } = openDevice(testHost().process, EDU);
      return () => group.device(`${EDU} vf_token=0b5c7a4e-1111-2222-3333-444455556666`);
    },
    code: "VF_TOKEN",
    errno: EINVAL,
    says: [`device ${EDU} of`, "vf_token=0b5c"],
    helps: ["SR-IOV"],
  },
];
