/**
 * VFIO_DEVICE_GET_INFO, GET_REGION_INFO and GET_IRQ_INFO of vfio-pci.
 *
 * A reply is written back up to what the caller's argsz covers; a capability chain that does not fit only changes argsz
 * to what would be needed. `cap_offset` of a region without capabilities keeps the caller's value.
 * Source: vfio_pci_ioctl_get_info, _get_region_info, _get_irq_info.
 */
import { EINVAL } from "@minivmm/host";
import type { UserArg } from "@minivmm/host/model";
import * as uapi from "../uapi.ts";
import type { VfioPciDevice } from "./device.ts";
import { VGA_REGION_SIZE } from "./vga-region.ts";

const REGION_READ_WRITE = uapi.VFIO_REGION_INFO_FLAG_READ | uapi.VFIO_REGION_INFO_FLAG_WRITE;
const MIN_DEVICE_INFO = 16;
/** The only capability of a BAR: the whole of it may be mapped, the MSI-X table included. It ends the chain. */
const MSIX_MAPPABLE = uapi.vfio_info_cap_header.encode({
  id: uapi.VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  version: 1,
  next: 0,
});

export function getDeviceInfo(device: VfioPciDevice, arg: UserArg): number {
  const argsz = new DataView(arg.copyIn(MIN_DEVICE_INFO).buffer).getUint32(0, true);
  if (argsz < MIN_DEVICE_INFO) return -EINVAL;
  const reply = uapi.vfio_device_info.encode({
    argsz,
    flags: uapi.VFIO_DEVICE_FLAGS_PCI | (device.resetWorks ? uapi.VFIO_DEVICE_FLAGS_RESET : 0),
    num_regions: uapi.VFIO_PCI_NUM_REGIONS,
    num_irqs: uapi.VFIO_PCI_NUM_IRQS,
    cap_offset: 0,
  });
  arg.copyOut(reply.subarray(0, replySize(argsz, device.profile.wideInfo)));
  return 0;
}

/** 6.12 writes what fits of the whole struct; 6.1 stops after cap_offset, or before it when it does not fit. */
function replySize(argsz: number, wide: boolean): number {
  if (wide) return Math.min(argsz, uapi.vfio_device_info.size);
  return argsz >= 20 ? 20 : MIN_DEVICE_INFO;
}

export function getRegionInfo(device: VfioPciDevice, arg: UserArg): number {
  const info = uapi.vfio_region_info.decode(arg.copyIn(uapi.vfio_region_info.size));
  if (info.argsz < uapi.vfio_region_info.size) return -EINVAL;
  const { index } = info;
  info.offset = BigInt(index) << 40n;
  info.flags = 0;
  let chain: Uint8Array | null = null;
  if (index === uapi.VFIO_PCI_CONFIG_REGION_INDEX) {
    info.size = BigInt(device.config.size);
    info.flags = REGION_READ_WRITE;
  } else if (index === uapi.VFIO_PCI_ROM_REGION_INDEX) {
    info.size = BigInt(device.romSize());
    if (info.size > 0n) info.flags = uapi.VFIO_REGION_INFO_FLAG_READ;
  } else if (index <= uapi.VFIO_PCI_BAR5_REGION_INDEX) {
    const size = device.bars[index]?.size ?? 0;
    info.size = BigInt(size);
    if (size > 0) info.flags = REGION_READ_WRITE;
    if (device.mappable[index]) {
      info.flags |= uapi.VFIO_REGION_INFO_FLAG_MMAP;
      if (index === device.regions.msixBar) chain = MSIX_MAPPABLE;
    }
  } else if (index === uapi.VFIO_PCI_VGA_REGION_INDEX && device.display) {
    info.size = BigInt(VGA_REGION_SIZE);
    info.flags = REGION_READ_WRITE;
  } else {
    return -EINVAL;
  }
  if (chain) {
    info.flags |= uapi.VFIO_REGION_INFO_FLAG_CAPS;
    const needed = uapi.vfio_region_info.size + chain.length;
    const fits = info.argsz >= needed;
    info.cap_offset = fits ? uapi.vfio_region_info.size : 0;
    if (fits) arg.copyOut(chain, uapi.vfio_region_info.size);
    else info.argsz = needed;
  }
  arg.copyOut(uapi.vfio_region_info.encode(info));
  return 0;
}

export function getIrqInfo(device: VfioPciDevice, arg: UserArg): number {
  const info = uapi.vfio_irq_info.decode(arg.copyIn(uapi.vfio_irq_info.size));
  if (info.argsz < uapi.vfio_irq_info.size || info.index >= uapi.VFIO_PCI_NUM_IRQS) return -EINVAL;
  if (info.index === uapi.VFIO_PCI_ERR_IRQ_INDEX && !device.isExpress) return -EINVAL;
  info.flags = uapi.VFIO_IRQ_INFO_EVENTFD;
  info.count = device.irqCount(info.index);
  if (info.index === uapi.VFIO_PCI_INTX_IRQ_INDEX) {
    info.flags |= uapi.VFIO_IRQ_INFO_MASKABLE | uapi.VFIO_IRQ_INFO_AUTOMASKED;
  } else if (info.index !== uapi.VFIO_PCI_MSIX_IRQ_INDEX || !device.dynamicMsix) {
    info.flags |= uapi.VFIO_IRQ_INFO_NORESIZE;
  }
  arg.copyOut(uapi.vfio_irq_info.encode(info));
  return 0;
}
