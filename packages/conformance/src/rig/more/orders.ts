// Cases of orders: closing descriptors in every order on devices of every kind of place, and hot resets of every device
// with right and wrong proofs of ownership.

import type { Json } from "../../lines.ts";
import type { RecordedMachine } from "../../machine.ts";
import type { X86Case } from "../../x86/format.ts";
import { caseOf, ioctl, opened } from "./builder.ts";
import { DEVICES } from "./substitute.ts";

const ORDERS = ["CGD", "CDG", "GCD", "GDC", "DCG", "DGC"];
const MAP = { argsz: 32, flags: 3, vaddr: "&M", iova: 0x10_0000, size: 4096 };

/** Container, group and device closed in each order, then opened again. */
export function closingOrders(machine: RecordedMachine, known: ReadonlySet<string>): X86Case[] {
  return ["edu0", "nvme0", "mf4", "br3u", "nic1"].flatMap((device) =>
    ORDERS.flatMap((order) => {
      const name = device === "edu0" ? `close.order.${order}` : `close.orders.${device}.${order}`;
      return known.has(name)
        ? []
        : [caseOf(machine, name, "closing in this order, then all again", closing(device, order))];
    }),
  );
}

function closing(device: string, order: string): Json[] {
  const again = (name: string): string => `${name}2`;
  return [
    ...opened(device),
    { op: "mmap", as: "M", size: 0x20_0000, align: 0x20_0000 },
    ioctl("C", "VFIO_IOMMU_MAP_DMA", { in: MAP }),
    ...[...order].flatMap((fd) => [{ op: "close", fd }, { op: "vmlck" }]),
    { op: "open", path: "/dev/vfio/vfio", as: again("C") },
    { op: "open", path: `@group:${device}`, as: again("G") },
    ioctl("G2", "VFIO_GROUP_GET_STATUS", { in: { argsz: 8 } }),
    ioctl("G2", "VFIO_GROUP_SET_CONTAINER", { fdp: "C2" }),
    ioctl("C2", "VFIO_SET_IOMMU", { val: 3 }),
    ioctl("G2", "VFIO_GROUP_GET_DEVICE_FD", { str: `@bdf:${device}`, as: "D2" }),
    ioctl("C2", "VFIO_IOMMU_MAP_DMA", { in: MAP }),
  ];
}

/** Hot resets of every device. */
export function hotResets(machine: RecordedMachine): X86Case[] {
  const reset = (count: number, fds: readonly string[]): Json =>
    ioctl("D", "VFIO_DEVICE_PCI_HOT_RESET", { in: { argsz: 12 + 4 * count, flags: 0, count }, fds });
  return DEVICES.map((device) => {
    const other = device === "xhci0" ? "edu0" : "xhci0";
    return caseOf(machine, `hot.reset.of.${device}`, "hot resets with right and wrong groups", [
      ...opened(device),
      { op: "open", path: `@group:${other}`, as: "O" },
      ioctl("D", "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", { in: { argsz: 256 } }),
      reset(0, []),
      reset(1, ["$O"]),
      reset(1, ["$C"]),
      reset(1, ["$D"]),
      reset(2, ["$G", "$G"]),
      { op: "pwrite", fd: "D", region: 7, off: 60, bytes: "2a" },
      { op: "pwrite", fd: "D", region: 7, off: 4, bytes: "0600" },
      reset(1, ["$G"]),
      { op: "pread", fd: "D", region: 7, off: 0, size: 64 },
      ioctl("D", "VFIO_DEVICE_RESET", { val: 0 }),
      { op: "pread", fd: "D", region: 7, off: 0, size: 64 },
      reset(2, ["$G", "$O"]),
      { op: "close", fd: "O" },
    ]);
  });
}
