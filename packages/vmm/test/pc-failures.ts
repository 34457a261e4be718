// Ways in which machine pc does not get its devices: a host, what is asked of it, and what the error says.
import { EACCES, EBUSY, ENOENT, ENOMEM, EPERM, O_RDWR } from "@minivmm/host";
import type { ModelProcess, SpawnOptions } from "@minivmm/host/model";
import { type ModelHostOptions, type ModelledHost, type modelHost, modelHostDescription } from "@minivmm/model-host";
import { PciDevice } from "@minivmm/pci";
import { groupNode, iommuGroupOf, VfioGroup } from "@minivmm/vfio-core";
import type { PcDeviceConfig } from "../src/machines/pc/devices.ts";
import { MIB, RAM_BYTES } from "./pc-bench.ts";

export const NVME = "0000:02:00.0";
const EDU = "0000:00:05.0";
const BRIDGED = "0000:04:01.0";
const BRIDGED_TOO = "0000:04:02.0";
const BRIDGED_FREE = "0000:04:03.0";
const HELD = "0000:01:00.0";
const DEVICES = "/sys/bus/pci/devices";

export const vfio = (host: string, rest: object = {}): PcDeviceConfig => ({ driver: "vfio-pci", host, ...rest });
const iommufd = { id: "i" };
const MODERN = { ...modelHostDescription("desktop"), kernelConfig: { iommufd: true, deviceCdev: true } };

/** Its memory is larger than all that lies below 4 GiB and is not RAM. */
class HugeCard extends PciDevice {
  constructor() {
    super({ vendor: 0x1234, device: 0x1111, classCode: 0x03_0000 });
    this.addBar({ index: 0, type: "mem32", size: 0x4000_0000, prefetchable: false });
  }
  override readBar(): void {}
  override writeBar(): void {}
  protected override onReset(): void {}
}

export interface Failure {
  readonly what: string;
  /** Default: "desktop" as it is. */
  readonly host?: Parameters<typeof modelHost>[0];
  readonly options?: ModelHostOptions;
  /** Of the VM's process. Default: root, which may lock all memory. */
  readonly process?: SpawnOptions;
  /** Changes the host before the VM is made; what it returns is given to `devices`. */
  readonly prepare?: (model: ModelledHost, process: ModelProcess) => unknown;
  /** Default: the NVMe controller. */
  readonly devices?: readonly PcDeviceConfig[] | ((prepared: number) => readonly PcDeviceConfig[]);
  /** KVM is on another modelled host, of this kind. */
  readonly kvm?: string;
  readonly code: string;
  readonly errno?: number;
  readonly says: readonly (string | RegExp)[];
  readonly helps: readonly (string | RegExp)[];
  readonly details?: object;
}

const openBy = (process: ModelProcess, bdf: string) => VfioGroup.open(process, iommuGroupOf(process, bdf));

export const FAILURES: readonly Failure[] = [
  {
    what: "an address without a device",
    devices: [vfio("77:00.0")],
    code: "NO_DEVICE",
    says: ["no PCI device 0000:77:00.0 on modelled Linux"],
    helps: ["lspci -D"],
  },
  {
    what: "what is no address",
    devices: [vfio("nvme0")],
    code: "USAGE_CONFIG",
    says: [`"nvme0" is not a PCI address`],
    helps: ["domain:bus:device.function"],
  },
  {
    what: "one function twice",
    devices: [vfio(NVME), vfio("02:00.0", { iommufd })],
    code: "USAGE_CONFIG",
    says: [`device ${NVME} is given twice`],
    helps: ["once"],
  },
  {
    what: "two devices of one name, which one has by its place",
    devices: [vfio(NVME, { id: "dev1" }), vfio(EDU)],
    code: "USAGE_CONFIG",
    says: [`two devices have the name "dev1"`],
    helps: ["an id of its own"],
  },
  {
    what: "a container's name and a descriptor",
    devices: [vfio(NVME, { container: "a", containerFd: 5 })],
    code: "USAGE_CONFIG",
    says: ["both a container's name and its descriptor"],
    helps: ["one of the two"],
  },
  {
    what: "a container and an iommufd",
    devices: [vfio(NVME, { container: "a", iommufd })],
    code: "USAGE_CONFIG",
    says: ["both an iommufd and a container"],
    helps: ["one of the two"],
  },
  {
    what: "a node's descriptor without an iommufd",
    devices: [vfio(NVME, { deviceFd: 5 })],
    code: "USAGE_CONFIG",
    says: ["no iommufd"],
    helps: ["name the iommufd"],
  },
  {
    what: "two functions in one slot of the guest",
    devices: [vfio(NVME, { slot: 3 }), vfio(EDU, { slot: 3 })],
    code: "USAGE_DEVICE",
    says: ["device dev1: cannot use PCI slot 3: another device is there"],
    helps: [],
  },
  {
    what: "a slot that does not exist",
    devices: [vfio(EDU), vfio(NVME, { slot: 32, id: "disk" })],
    code: "USAGE_DEVICE",
    says: ["device disk: cannot use PCI slot 32: slots are 1 to 31"],
    helps: [],
  },
  {
    what: "a BAR that no window of the guest can hold",
    devices: [vfio(NVME), { driver: "emulated", id: "card", device: new HugeCard() }],
    code: "USAGE_DEVICE",
    says: ["device card: BAR 0 has 1073741824 bytes"],
    helps: ["less guest memory"],
  },
  {
    what: "a device without a driver",
    devices: [vfio(EDU), vfio(BRIDGED_FREE)],
    code: "NOT_BOUND",
    says: [`${BRIDGED_FREE} is bound to no driver`],
    helps: [`echo vfio-pci > ${DEVICES}/${BRIDGED_FREE}/driver_override`],
  },
  {
    what: "a device that the host uses",
    devices: [vfio(NVME), vfio(HELD)],
    code: "DEVICE_HELD",
    says: [`${HELD} is held by the host driver nvme`],
    helps: [`echo ${HELD} > ${DEVICES}/${HELD}/driver/unbind`],
  },
  {
    what: "no IOMMU",
    options: { iommu: "none" },
    code: "NO_IOMMU_GROUP",
    says: [NVME, "IOMMU"],
    helps: ["VT-d"],
  },
  {
    what: "interrupts that are not remapped",
    options: { interruptRemapping: false },
    code: "UNSAFE_INTERRUPTS",
    errno: EPERM,
    says: ["does not remap interrupts"],
    helps: ["intremap=off"],
  },
  {
    what: "VFIO that is not loaded",
    prepare: (model) => model.kernel.nodes.delete("/dev/vfio/vfio"),
    code: "NO_CONTAINER_NODE",
    errno: ENOENT,
    says: ["there is no /dev/vfio/vfio"],
    helps: ["modprobe -a vfio-pci vfio_iommu_type1"],
  },
  {
    what: "VFIO without its part for the IOMMU",
    prepare: (model) => model.vfio.iommuDrivers.splice(0),
    code: "PASSTHROUGH",
    says: ["machine pc needs a host with a type1 IOMMU"],
    helps: ["modprobe vfio_iommu_type1"],
  },
  {
    what: "a device on a host with another IOMMU",
    host: "power9",
    kvm: "desktop",
    devices: [vfio("0001:01:00.0")],
    code: "PASSTHROUGH",
    says: ["machine pc needs a host with a type1 IOMMU"],
    helps: ["an x86 host"],
  },
  {
    what: "a group's node that is not visible here",
    prepare: (model, process) => model.kernel.nodes.delete(groupNode(process, iommuGroupOf(process, NVME))),
    code: "NO_GROUP_NODE",
    errno: ENOENT,
    says: [`although ${NVME} is bound to vfio-pci`],
    helps: ["container"],
  },
  {
    what: "no permission for the group's node",
    process: { root: false },
    code: "PERMISSION",
    errno: EACCES,
    says: [/no permission to open \/dev\/vfio\/\d+: owner root, group root, mode 0600; this process runs as user 1000/],
    helps: [/chown 1000 \/dev\/vfio\/\d+/],
  },
  {
    what: "a group that another VM has",
    devices: [vfio(EDU), vfio(NVME)],
    prepare: (model) => openBy(model.spawn({ comm: "qemu-system-x86" }), NVME),
    code: "GROUP_BUSY",
    errno: EBUSY,
    says: [/process \d+ \(qemu-system-x86\) has \/dev\/vfio\/\d+ open/],
    helps: [/End process \d+ \(qemu-system-x86\)/],
  },
  {
    what: "functions of one group in two containers",
    devices: [vfio(BRIDGED), vfio(BRIDGED_TOO, { container: "other" })],
    code: "USAGE_CONFIG",
    says: [BRIDGED, BRIDGED_TOO, /IOMMU group \d+/],
    helps: ["same container"],
  },
  {
    what: "a group with a member that the host uses",
    devices: [vfio(NVME), vfio(BRIDGED)],
    prepare: (model) => model.faults.takeGroup(BRIDGED_FREE, "e1000e"),
    code: "GROUP_NOT_VIABLE",
    says: [`${BRIDGED_FREE} is bound to e1000e`],
    helps: ["All devices of a group move together"],
  },
  {
    what: "a function that somebody is resetting",
    devices: [vfio(EDU), vfio(NVME)],
    prepare: (model) => {
      model.topology.get(NVME).locked = true;
    },
    code: "REFUSED",
    errno: 11,
    says: [NVME],
    helps: [],
  },
  {
    what: "too little locked memory",
    process: { memlock: MIB },
    code: "MEMLOCK",
    errno: ENOMEM,
    says: [
      /it needs (at least )?2097152 bytes \(2048 KiB\) of locked memory, and the limit is 1048576 bytes \(1024 KiB\)/,
    ],
    helps: ["limits.conf"],
    details: { limit: MIB, need: RAM_BYTES },
  },
  {
    what: "too little locked memory for a second domain",
    process: { memlock: 3 * MIB },
    devices: [vfio(NVME), vfio(EDU, { container: "other" })],
    code: "MEMLOCK",
    errno: ENOMEM,
    says: ["4194304 bytes", "2097152 of them in use already"],
    helps: ["ulimit -l 4096"],
    details: { limit: 3 * MIB, need: 2 * RAM_BYTES, locked: RAM_BYTES },
  },
  {
    what: "a descriptor that is no container",
    prepare: (_, process) => process.open("/dev/null", O_RDWR),
    devices: (containerFd) => [vfio(NVME, { containerFd })],
    code: "API_VERSION",
    says: ["descriptor 0"],
    helps: ["/dev/vfio/vfio"],
  },
  {
    what: "a descriptor that is no group",
    prepare: (_, process) => process.open("/dev/null", O_RDWR),
    devices: (groupFd) => [vfio(NVME, { groupFd })],
    code: "REFUSED",
    errno: 25,
    says: ["IOMMU group"],
    helps: [],
  },
  {
    what: "no iommufd in the kernel",
    devices: [vfio(NVME, { iommufd })],
    code: "NO_IOMMUFD_NODE",
    errno: ENOENT,
    says: ["/dev/iommu does not exist"],
    helps: ["modprobe iommufd"],
  },
  {
    what: "devices without nodes of their own",
    host: { ...MODERN, kernelConfig: { iommufd: true } },
    devices: [vfio(NVME, { iommufd })],
    code: "NO_DEVICE_NODE",
    says: [`${NVME} has no device node`],
    helps: ["CONFIG_VFIO_DEVICE_CDEV"],
  },
  {
    what: "no permission for /dev/iommu",
    host: MODERN,
    process: { root: false },
    devices: [vfio(NVME, { iommufd })],
    code: "PERMISSION",
    errno: EACCES,
    says: ["no permission to open /dev/iommu"],
    helps: ["chown 1000 /dev/iommu"],
  },
  {
    what: "a device whose group another VM uses",
    host: MODERN,
    devices: [vfio(EDU, { iommufd }), vfio(NVME, { iommufd })],
    prepare: (model) => openBy(model.spawn({ comm: "qemu" }), NVME),
    code: "GROUP_BUSY",
    errno: EBUSY,
    says: [/process \d+ \(qemu\)/],
    helps: ["through its group or through its own node"],
  },
  {
    what: "too little locked memory for an iommufd",
    host: MODERN,
    process: { memlock: MIB },
    devices: [vfio(NVME, { iommufd })],
    code: "MEMLOCK",
    errno: ENOMEM,
    says: ["1048576 bytes"],
    helps: ["limits.conf"],
    details: { limit: MIB },
  },
  {
    what: "one group by its node and by a device's",
    host: MODERN,
    devices: [vfio(BRIDGED), vfio(BRIDGED_TOO, { iommufd })],
    code: "USAGE_CONFIG",
    says: [BRIDGED, BRIDGED_TOO, /IOMMU group \d+/],
    helps: ["same container"],
  },
  {
    what: "a kernel without KVM",
    prepare: (model) => model.kernel.nodes.delete("/dev/kvm"),
    code: "USAGE_ACCEL",
    errno: ENOENT,
    says: ["machine pc runs in KVM only", "/dev/kvm"],
    helps: [],
  },
  {
    what: "KVM of another architecture",
    kvm: "power9",
    code: "USAGE_ACCEL",
    says: ["machine pc needs an x86-64 kernel below it"],
    helps: ["x86-64 machine"],
  },
  {
    what: "an old KVM",
    prepare: (model) => model.kvm.capabilities.delete(32),
    code: "USAGE_ACCEL",
    says: ["has no interrupts by eventfd"],
    helps: ["ten years"],
    details: { capability: 32 },
  },
];
