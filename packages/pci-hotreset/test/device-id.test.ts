// Hot reset of devices that were opened through their own nodes: ids of an iommufd instead of groups, nothing handed over.
import { EINVAL, ENODEV, ENOSPC } from "@minivmm/host";
import type { ModelProcess } from "@minivmm/host/model";
import { Iommufd, iommuGroupOf, VfioCdev, VfioContainer, type VfioDevice, VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import {
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID as DEV_ID,
  HotResetError,
  hotReset,
  hotResetInfo,
  hotResetIoctls,
  missingGroups,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED as OWNED,
  planHotReset,
  runHotReset,
  vfio_pci_dependent_device,
  vfio_pci_hot_reset_info,
} from "../src/index.ts";
import { BELOW_BRIDGE, BESIDE_BRIDGE, CARD, HOTPLUG, PORTS, ROOT, slotHost } from "./slot-host.ts";

const ioctls = hotResetIoctls("x86_64");
const [FIRST, SECOND] = PORTS;

function host() {
  const made = slotHost({ vfio: { iommufd: {}, deviceCdev: true } });
  const iommufd = Iommufd.open(made.process);
  const open = (bdf: string, to: Iommufd = iommufd) => {
    const device = VfioCdev.open(made.process, bdf);
    device.bind(to);
    return device;
  };
  return { ...made, iommufd, open };
}

/** The list as it comes: result, flags, and the ids as signed numbers. */
function rawInfo(process: ModelProcess, device: VfioDevice, room = 8) {
  const arg = new Uint8Array(12 + 8 * room);
  vfio_pci_hot_reset_info.encode({ argsz: arg.length }, arg);
  const result = process.ioctl(device.fd, ioctls.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, arg);
  const { flags, count } = vfio_pci_hot_reset_info.decode(arg);
  const shown = result < 0 ? 0 : count;
  const ids = Array.from({ length: shown }, (_, i) => vfio_pci_dependent_device.decode(arg, 12 + 8 * i).group_id | 0);
  return { result, flags, count, ids };
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof HotResetError) return error.code;
    throw error;
  }
  return "";
}

describe("pci-hotreset device ids", () => {
  it("pci-hotreset: tell of each function whether the iommufd owns it", () => {
    const { process, open } = host();
    const first = open(FIRST);
    // Groups of their own: the other one is not owned until it is bound, too.
    expect(rawInfo(process, first)).toEqual({ result: 0, flags: DEV_ID, count: 2, ids: [1, -1] });
    expect(rawInfo(process, first, 1)).toMatchObject({ result: -ENOSPC, flags: 0, count: 2 });
    const second = open(SECOND);
    expect(rawInfo(process, first)).toEqual({ result: 0, flags: DEV_ID | OWNED, count: 2, ids: [1, 2] });
    expect(hotResetInfo(first).map(({ deviceId }) => deviceId)).toEqual([1, 2]);
    second.close();
    expect(rawInfo(process, first).ids).toEqual([1, -1]);
  });

  it("pci-hotreset: a group counts as owned with one of its devices", () => {
    const { process, open, core } = host();
    const card = open(CARD[1]);
    expect(rawInfo(process, card)).toEqual({ result: 0, flags: DEV_ID | OWNED, count: 3, ids: [0, 1, 0] });
    // Not bound to VFIO: not in the set that is reset, whatever its group.
    core.unbind(CARD[2]);
    expect(rawInfo(process, card)).toEqual({ result: 0, flags: DEV_ID, count: 3, ids: [0, 1, -1] });
    expect(
      process.ioctl(card.fd, ioctls.VFIO_DEVICE_PCI_HOT_RESET, new Uint8Array(new Uint32Array([12, 0, 0]).buffer)),
    ).toBe(-EINVAL);
  });

  it("pci-hotreset: another iommufd owns nothing for this one", () => {
    const { process, open } = host();
    const first = open(FIRST);
    const second = open(SECOND, Iommufd.open(process));
    expect(rawInfo(process, first).ids).toEqual([1, -1]);
    expect(rawInfo(process, second).ids).toEqual([-1, 1]);
  });

  it("pci-hotreset: a bridge that would be hit is never owned, and needs no group", () => {
    const { process, open } = host();
    open(BELOW_BRIDGE);
    const device = open(BESIDE_BRIDGE);
    const { flags, ids } = rawInfo(process, device);
    expect(flags).toBe(DEV_ID);
    expect(ids).toHaveLength(3);
    expect(ids[1]).toBe(-1);
  });
});

describe("pci-hotreset with an iommufd", () => {
  it("pci-hotreset: resets what it owns, without handing anything over", () => {
    const { open, topology } = host();
    const first = open(FIRST);
    const plan = planHotReset(first.host, first);
    expect(plan.unowned?.map(({ bdf }) => bdf)).toEqual([SECOND]);
    expect(missingGroups(plan, [])).toEqual([]);
    expect(codeOf(() => runHotReset(plan))).toBe("NOT_OWNED");
    expect(codeOf(() => hotReset(first, []))).toBe("REFUSED");
    const second = open(SECOND);
    first.writeConfig(4, 2, 0x6);
    const before = topology.get(SECOND).readConfig(4, 2);
    const now = planHotReset(first.host, first);
    expect(now).toMatchObject({ unowned: [], single: false });
    runHotReset(now);
    // What the user set up is kept.
    expect(first.readConfig(4, 2) & 0x6).toBe(0x6);
    expect(topology.get(SECOND).readConfig(4, 2)).toBe(before);
    second.close();
  });

  it("pci-hotreset: an array of groups is refused, as none is for devices opened by group", () => {
    const { process, open, core } = host();
    const card = open(HOTPLUG);
    expect(codeOf(() => hotReset(card, [0]))).toBe("REFUSED");
    hotReset(card, []);
    card.close();
    const container = VfioContainer.open(process);
    const group = VfioGroup.open(process, iommuGroupOf(process, HOTPLUG));
    group.setContainer(container);
    container.setIommu(1);
    const device = group.device(HOTPLUG);
    expect(codeOf(() => hotReset(device, []))).toBe("REFUSED");
    const [entry] = hotResetInfo(device);
    expect(entry).toEqual({ bdf: HOTPLUG, group: core.device(HOTPLUG)?.group.id });
    hotReset(device, [group.fd]);
  });

  it("pci-hotreset: devices opened by group on an iommufd keep the groups' form", () => {
    const { process, iommufd } = host();
    const container = VfioContainer.open(process, iommufd.fd);
    const group = VfioGroup.open(process, iommuGroupOf(process, HOTPLUG));
    group.setContainer(container);
    const device = group.device(HOTPLUG);
    expect(rawInfo(process, device)).toMatchObject({ result: 0, flags: 0, ids: [group.id] });
    hotReset(device, [group.fd]);
  });

  it("pci-hotreset: on a root bus there is none, and the count is looked at first", () => {
    const { process, open } = host();
    const device = open(ROOT);
    const reset = (count: number) =>
      process.ioctl(
        device.fd,
        ioctls.VFIO_DEVICE_PCI_HOT_RESET,
        new Uint8Array(new Uint32Array([16, 0, count, 0]).buffer),
      );
    expect([reset(1), reset(0)]).toEqual([-EINVAL, -ENODEV]);
    expect(rawInfo(process, device).result).toBe(-ENODEV);
  });
});
