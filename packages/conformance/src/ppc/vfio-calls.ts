// The VFIO ioctls of POWER recordings: how arguments become struct bytes, and which fields come back.
// Structs are laid over a poisoned buffer, as the recorder did, so that what a kernel leaves alone can be told.

import type { Arch } from "@minivmm/host";
import * as spapr from "@minivmm/spapr-iommu";
import { vfio_group_status, vfioIoctls } from "@minivmm/vfio-core";
import type { Json } from "../lines.ts";
import type { PpcStep } from "./format.ts";
import { type Answer, big, type Call, hex, type PpcScene } from "./scene.ts";

interface IoctlCase {
  readonly request: number;
  /** Absent: the argument is a plain value, `value`. */
  readonly bytes?: Uint8Array;
  readonly value?: number;
  /** Fields of the struct after the call, as the recording writes them. */
  decode?(bytes: Uint8Array): Json;
}

const ARCH: Arch = "ppc64le";
const POISON = 0xee;
const vfio = vfioIoctls(ARCH);
const tce = spapr.spaprIoctls(ARCH);

const poison = (size: number): Uint8Array => new Uint8Array(size).fill(POISON);

type Layout = { readonly size: number; readonly offsets: Readonly<Record<string, number>> };

/** Lays the named arguments over a poisoned buffer in a struct's layout; `wide` ones are 64-bit. */
function lay({ args }: PpcStep, { size, offsets }: Layout, narrow: readonly string[], wide: readonly string[] = []) {
  const bytes = poison(Math.max(size, 64));
  const view = new DataView(bytes.buffer);
  for (const name of narrow) view.setUint32(offsets[name] as number, Number(big(args[name]) & 0xffff_ffffn), true);
  for (const name of wide) view.setBigUint64(offsets[name] as number, big(args[name]), true);
  return bytes;
}

const IOCTLS: Readonly<Record<string, (step: PpcStep) => IoctlCase>> = {
  VFIO_CHECK_EXTENSION: ({ args }) => ({ request: vfio.VFIO_CHECK_EXTENSION, value: Number(args.ext) }),
  VFIO_SET_IOMMU: ({ args }) => ({ request: vfio.VFIO_SET_IOMMU, value: Number(args.type) }),
  VFIO_GROUP_UNSET_CONTAINER: () => ({ request: vfio.VFIO_GROUP_UNSET_CONTAINER, value: 0 }),
  VFIO_GROUP_GET_STATUS: ({ args }) => ({
    request: vfio.VFIO_GROUP_GET_STATUS,
    bytes: vfio_group_status.encode({ argsz: Number(args.argsz ?? vfio_group_status.size) }),
    decode: (after) => ({ flags: vfio_group_status.decode(after).flags }),
  }),
  VFIO_IOMMU_ENABLE: () => ({ request: tce.VFIO_IOMMU_ENABLE, value: 0 }),
  VFIO_IOMMU_DISABLE: () => ({ request: tce.VFIO_IOMMU_DISABLE, value: 0 }),
  VFIO_IOMMU_SPAPR_TCE_GET_INFO: (step) => ({
    request: tce.VFIO_IOMMU_SPAPR_TCE_GET_INFO,
    bytes: lay(step, spapr.vfio_iommu_spapr_tce_info, ["argsz"]),
    decode: decodeInfo,
  }),
  VFIO_IOMMU_MAP_DMA: (step) => ({
    request: tce.VFIO_IOMMU_MAP_DMA,
    bytes: lay(step, spapr.vfio_iommu_type1_dma_map, ["argsz", "flags"], ["vaddr", "iova", "size"]),
  }),
  VFIO_IOMMU_UNMAP_DMA: (step) => ({
    request: tce.VFIO_IOMMU_UNMAP_DMA,
    bytes: lay(step, spapr.vfio_iommu_type1_dma_unmap, ["argsz", "flags"], ["iova", "size"]),
    decode: (after) => ({ size: hex(spapr.vfio_iommu_type1_dma_unmap.decode(after).size) }),
  }),
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY: registration("VFIO_IOMMU_SPAPR_REGISTER_MEMORY"),
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY: registration("VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY"),
  VFIO_IOMMU_SPAPR_TCE_CREATE: (step) => ({
    request: tce.VFIO_IOMMU_SPAPR_TCE_CREATE,
    bytes: lay(step, spapr.vfio_iommu_spapr_tce_create, ["argsz", "flags", "page_shift", "levels"], ["window_size"]),
    decode: (after) => ({ start_addr: hex(spapr.vfio_iommu_spapr_tce_create.decode(after).start_addr) }),
  }),
  VFIO_IOMMU_SPAPR_TCE_REMOVE: (step) => ({
    request: tce.VFIO_IOMMU_SPAPR_TCE_REMOVE,
    bytes: lay(step, spapr.vfio_iommu_spapr_tce_remove, ["argsz", "flags"], ["start_addr"]),
  }),
  VFIO_EEH_PE_OP: (step) => ({
    request: tce.VFIO_EEH_PE_OP,
    bytes: lay(step, spapr.vfio_eeh_pe_op, ["argsz", "flags", "op"]),
  }),
};

function registration(name: "VFIO_IOMMU_SPAPR_REGISTER_MEMORY" | "VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY") {
  return (step: PpcStep): IoctlCase => ({
    request: tce[name],
    bytes: lay(step, spapr.vfio_iommu_spapr_register_memory, ["argsz", "flags"], ["vaddr", "size"]),
  });
}

function decodeInfo(bytes: Uint8Array): Json {
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

/** One call for each of these ioctls. */
export const VFIO_CALLS: Readonly<Record<string, Call>> = Object.fromEntries(
  Object.entries(IOCTLS).map(([name, describe]) => [
    name,
    (scene: PpcScene, step: PpcStep): Answer => {
      const { request, bytes: full, value = 0, decode } = describe(step);
      const bytes = step.args.ptr === "NULL" ? undefined : full;
      const ret = scene.actor.host.ioctl(scene.fd(step.args.fd), request, bytes ?? value);
      if (name === "VFIO_IOMMU_MAP_DMA" && ret === 0) remember(scene, step);
      return { ret, ...(bytes && decode ? { out: decode(bytes) } : {}) };
    },
  ]),
);

function remember(scene: PpcScene, { args }: PpcStep): void {
  scene.mappings.push({ iova: big(args.iova), size: big(args.size), vaddr: big(args.vaddr) });
}
