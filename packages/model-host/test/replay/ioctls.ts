// The VFIO ioctls of recordings: how arguments become struct bytes, and which fields come back.
import type { Arch } from "@minivmm/host";
import * as spapr from "@minivmm/spapr-iommu";
import { vfio_group_status, vfioIoctls } from "@minivmm/vfio-core";
import { big, type Step } from "./recording.ts";

export interface IoctlCase {
  readonly request: number;
  /** Absent: the argument is a plain value, `value`. */
  readonly bytes?: Uint8Array;
  readonly value?: number;
  /** Fields of the struct after the call, as the recording writes them. */
  decode?(bytes: Uint8Array): Record<string, string | number>;
}

const ARCH: Arch = "ppc64le";
const poison = (size: number): Uint8Array => new Uint8Array(size).fill(0xee);
const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** Lays `fields` over a buffer in the struct's layout, leaving every other byte as it is. */
function lay(
  bytes: Uint8Array,
  at: Readonly<Record<string, number>>,
  fields: Record<string, [size: 4 | 8, value: bigint]>,
): Uint8Array {
  const view = new DataView(bytes.buffer);
  for (const [name, [size, value]] of Object.entries(fields)) {
    const offset = at[name] as number;
    if (size === 4) view.setUint32(offset, Number(value & 0xffff_ffffn), true);
    else view.setBigUint64(offset, value, true);
  }
  return bytes;
}

/** The ioctl behind a step, or null when the step is none of VFIO's. */
export function ioctlOf(step: Step): IoctlCase | null {
  const { args, call } = step;
  const vfio = vfioIoctls(ARCH);
  const tce = spapr.spaprIoctls(ARCH);
  const u32 = (name: string, otherwise = 0): [4, bigint] => [4, big(args[name] ?? otherwise)];
  const u64 = (name: string): [8, bigint] => [8, big(args[name])];
  switch (call) {
    case "VFIO_CHECK_EXTENSION":
      return { request: vfio.VFIO_CHECK_EXTENSION, value: Number(args.ext) };
    case "VFIO_SET_IOMMU":
      return { request: vfio.VFIO_SET_IOMMU, value: Number(args.type) };
    case "VFIO_GROUP_UNSET_CONTAINER":
      return { request: vfio.VFIO_GROUP_UNSET_CONTAINER, value: 0 };
    case "VFIO_GROUP_GET_STATUS": {
      const bytes = vfio_group_status.encode({ argsz: Number(args.argsz ?? vfio_group_status.size) });
      return {
        request: vfio.VFIO_GROUP_GET_STATUS,
        bytes,
        decode: (after) => ({ flags: vfio_group_status.decode(after).flags }),
      };
    }
    case "VFIO_IOMMU_ENABLE":
      return { request: tce.VFIO_IOMMU_ENABLE, value: 0 };
    case "VFIO_IOMMU_DISABLE":
      return { request: tce.VFIO_IOMMU_DISABLE, value: 0 };
    case "VFIO_IOMMU_SPAPR_TCE_GET_INFO": {
      const { size, offsets } = spapr.vfio_iommu_spapr_tce_info;
      const bytes = lay(poison(Math.max(size, 64)), offsets, { argsz: u32("argsz") });
      return { request: tce.VFIO_IOMMU_SPAPR_TCE_GET_INFO, bytes, decode: decodeInfo };
    }
    case "VFIO_IOMMU_MAP_DMA": {
      const { size, offsets } = spapr.vfio_iommu_type1_dma_map;
      const fields = {
        argsz: u32("argsz"),
        flags: u32("flags"),
        vaddr: u64("vaddr"),
        iova: u64("iova"),
        size: u64("size"),
      };
      return { request: tce.VFIO_IOMMU_MAP_DMA, bytes: lay(poison(size), offsets, fields) };
    }
    case "VFIO_IOMMU_UNMAP_DMA": {
      const { size, offsets } = spapr.vfio_iommu_type1_dma_unmap;
      const fields = { argsz: u32("argsz"), flags: u32("flags"), iova: u64("iova"), size: u64("size") };
      const decode = (after: Uint8Array) => ({ size: hex(spapr.vfio_iommu_type1_dma_unmap.decode(after).size) });
      return { request: tce.VFIO_IOMMU_UNMAP_DMA, bytes: lay(poison(size), offsets, fields), decode };
    }
    case "VFIO_IOMMU_SPAPR_REGISTER_MEMORY":
    case "VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY": {
      const { size, offsets } = spapr.vfio_iommu_spapr_register_memory;
      const fields = { argsz: u32("argsz"), flags: u32("flags"), vaddr: u64("vaddr"), size: u64("size") };
      return { request: tce[call], bytes: lay(poison(size), offsets, fields) };
    }
    case "VFIO_IOMMU_SPAPR_TCE_CREATE": {
      const { size, offsets } = spapr.vfio_iommu_spapr_tce_create;
      const fields = {
        argsz: u32("argsz"),
        flags: u32("flags"),
        page_shift: u32("page_shift"),
        window_size: u64("window_size"),
        levels: u32("levels"),
      };
      const decode = (after: Uint8Array) => ({
        start_addr: hex(spapr.vfio_iommu_spapr_tce_create.decode(after).start_addr),
      });
      return { request: tce.VFIO_IOMMU_SPAPR_TCE_CREATE, bytes: lay(poison(size), offsets, fields), decode };
    }
    case "VFIO_IOMMU_SPAPR_TCE_REMOVE": {
      const { size, offsets } = spapr.vfio_iommu_spapr_tce_remove;
      const fields = { argsz: u32("argsz"), flags: u32("flags"), start_addr: u64("start_addr") };
      return { request: tce.VFIO_IOMMU_SPAPR_TCE_REMOVE, bytes: lay(poison(size), offsets, fields) };
    }
    case "VFIO_EEH_PE_OP": {
      const { size, offsets } = spapr.vfio_eeh_pe_op;
      return {
        request: tce.VFIO_EEH_PE_OP,
        bytes: lay(poison(size), offsets, { argsz: u32("argsz"), flags: u32("flags"), op: u32("op") }),
      };
    }
    default:
      return null;
  }
}

function decodeInfo(bytes: Uint8Array): Record<string, string | number> {
  const info = spapr.vfio_iommu_spapr_tce_info.decode(bytes);
  return {
    argsz: info.argsz,
    flags: hex(info.flags),
    dma32_window_start: hex(info.dma32_window_start),
    dma32_window_size: hex(info.dma32_window_size),
    ddw_pgsizes: hex(info.ddw.pgsizes),
    ddw_max_dynamic_windows: hex(info.ddw.max_dynamic_windows_supported),
    ddw_levels: hex(info.ddw.levels),
  };
}
