// Nodes that cannot be opened: they are not there, belong to somebody else, or somebody else has them open.
import { EACCES, EBUSY, EINVAL, ENOENT, EPERM } from "@minivmm/host";
import * as vfio from "../../src/index.ts";
import { BRIDGED, EDU, NVME, openDevice, testHost } from "../fixture.ts";
import { iommufdHost } from "../iommufd-fixture.ts";
import { DEVICES, type Failure, groupOf, put } from "./table.ts";

export const NODES: Failure[] = [
  {
    what: "VFIO that is not loaded",
    make: () => {
      const { process, kernel } = testHost();
      kernel.nodes.delete("/dev/vfio/vfio");
      return () => vfio.VfioContainer.open(process);
    },
    code: "NO_CONTAINER_NODE",
    errno: ENOENT,
    says: ["there is no /dev/vfio/vfio on modelled Linux"],
    helps: ["modprobe -a vfio-pci vfio_iommu_type1"],
  },
  {
    what: "a group of which nothing is bound to vfio-pci",
    make: () => {
      const { process, core, kernel } = testHost();
      put(kernel, `${DEVICES}/0000:03:00.0/class`, "0x060400\n");
      core.unbind(BRIDGED);
      return () => groupOf(process, BRIDGED);
    },
    code: "NO_GROUP_NODE",
    errno: ENOENT,
    says: [/\/dev\/vfio\/\d+ does not exist: no device of IOMMU group \d+ is bound/],
    helps: [
      /^The group has 0000:04:01.0 \(no driver\), 0000:04:02.0/,
      `echo vfio-pci > ${DEVICES}/${BRIDGED}/driver_override`,
    ],
  },
  {
    what: "a group whose node is not visible here",
    make: () => {
      const { process, kernel } = testHost();
      kernel.nodes.delete(vfio.groupNode(process, vfio.iommuGroupOf(process, NVME)));
      return () => groupOf(process, NVME);
    },
    code: "NO_GROUP_NODE",
    errno: ENOENT,
    says: [`does not exist, although ${NVME} is bound to vfio-pci`],
    helps: ["container"],
  },
  {
    what: "a group's node that belongs to root",
    make: () => {
      const { process, kernel } = testHost();
      put(kernel, "/etc/passwd", "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n");
      const user = kernel.spawn({ root: false });
      return () => vfio.VfioGroup.open(user, vfio.iommuGroupOf(process, EDU));
    },
    code: "PERMISSION",
    errno: EACCES,
    says: [/^no permission to open \/dev\/vfio\/0: owner root, group root, mode 0600; this process runs as ada$/],
    helps: ["chown ada /dev/vfio/0", "udev", "hand its descriptor over"],
    details: { path: "/dev/vfio/0", uid: 0, gid: 0, mode: 0o600, user: 1000 },
  },
  {
    what: "a container's node that belongs to a group of users",
    make: () => {
      const { kernel } = testHost();
      const path = "/dev/vfio/vfio";
      put(kernel, "/etc/group", "root:x:0:\nvfio:x:118:\n");
      kernel.nodes.set(path, { open: () => -EINVAL, mode: 0o660, gid: 118 });
      return () => vfio.VfioContainer.open(kernel.spawn({ root: false }));
    },
    code: "PERMISSION",
    errno: EACCES,
    says: ["/dev/vfio/vfio", "group vfio, mode 0660", "user 1000"],
    helps: ["usermod -a -G vfio LOGIN"],
  },
  {
    what: "a node that the process's cgroup forbids",
    make: () => {
      const { kernel, process } = testHost();
      kernel.nodes.set("/dev/vfio/vfio", { open: () => -EPERM, mode: 0o666 });
      return () => vfio.VfioContainer.open(process);
    },
    code: "PERMISSION",
    errno: EPERM,
    says: ["/dev/vfio/vfio", "cgroup"],
    helps: ["--device /dev/vfio/vfio", "DeviceAllow=/dev/vfio/vfio rw"],
  },
  {
    what: "a group that another process has",
    make: () => {
      const { kernel, process } = testHost();
      groupOf(kernel.spawn({ comm: "qemu-system-x86" }), EDU);
      return () => groupOf(process, EDU);
    },
    code: "GROUP_BUSY",
    errno: EBUSY,
    says: [/^IOMMU group 0 is in use: process \d+ \(qemu-system-x86\) has \/dev\/vfio\/0 open$/],
    helps: [/End process \d+ \(qemu-system-x86\)/],
    details: { holders: [{ command: "qemu-system-x86", node: "/dev/vfio/0", self: false }] },
  },
  {
    what: "a group that this process has",
    make: () => {
      const { process } = testHost();
      groupOf(process, EDU);
      return () => groupOf(process, EDU);
    },
    code: "GROUP_BUSY",
    errno: EBUSY,
    says: ["this process has /dev/vfio/0 open"],
    helps: ["close it"],
    details: { holders: [{ self: true }] },
  },
  {
    what: "a group that a process of another user has",
    make: () => {
      const { kernel, process } = testHost();
      const node = "/dev/vfio/0";
      groupOf(process, EDU);
      kernel.nodes.set(node, { open: () => -EBUSY, mode: 0o666 });
      return () => groupOf(kernel.spawn({ root: false }), EDU);
    },
    code: "GROUP_BUSY",
    errno: EBUSY,
    says: ["no process that can be seen from here has /dev/vfio/0 open"],
    helps: ["as root, fuser -v /dev/vfio/0"],
    details: { holders: [] },
  },
  {
    what: "a group of which only a device is left open",
    make: () => {
      const { kernel, process } = testHost();
      const holder = kernel.spawn({ comm: "dpdk" });
      openDevice(holder, EDU).group.close();
      return () => groupOf(process, EDU);
    },
    code: "GROUP_BUSY",
    errno: EBUSY,
    says: ["no process", /VFIO devices, perhaps of it, are open in process \d+ \(dpdk\)/],
    helps: [/Look whether process \d+ \(dpdk\) uses it/, "fuser"],
  },
  {
    what: "a group of which a device is used through its own node",
    make: () => {
      const { kernel, process } = iommufdHost();
      const holder = kernel.spawn({ comm: "cloud-hyperviso" });
      vfio.VfioCdev.open(holder, EDU).bind(vfio.Iommufd.open(holder));
      return () => groupOf(process, EDU);
    },
    code: "GROUP_BUSY",
    errno: EBUSY,
    says: [/process \d+ \(cloud-hyperviso\) has \/dev\/vfio\/devices\/vfio\d+ open/],
    helps: ["End process"],
  },
  {
    what: "an iommufd that the kernel does not have",
    make: () => () => vfio.Iommufd.open(testHost().process),
    code: "NO_IOMMUFD_NODE",
    errno: ENOENT,
    says: ["/dev/iommu does not exist"],
    helps: ["modprobe iommufd", "groups"],
  },
  {
    what: "an iommufd that belongs to root",
    make: () => () => vfio.Iommufd.open(iommufdHost().kernel.spawn({ root: false })),
    code: "PERMISSION",
    errno: EACCES,
    says: ["no permission to open /dev/iommu: owner root"],
    helps: ["chown 1000 /dev/iommu"],
  },
  {
    what: "a device without a node of its own",
    make: () => () => vfio.VfioCdev.open(testHost().process, EDU),
    code: "NO_DEVICE_NODE",
    says: [`${EDU} has no device node`],
    helps: ["CONFIG_VFIO_DEVICE_CDEV"],
  },
];
