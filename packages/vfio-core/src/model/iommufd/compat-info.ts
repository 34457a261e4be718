/**
 * VFIO_IOMMU_GET_INFO on an iommufd: page sizes, "as many mappings as you like", the ranges that may be mapped.
 *
 * Unlike the container's, capabilities are written as far as there is room, and argsz always comes back as what all of
 * them need. Source: iommufd_vfio_iommu_get_info.
 */
import { EINVAL } from "@minivmm/host";
import type { UserArg } from "@minivmm/host/model";
import * as uapi from "../../uapi.ts";
import type { IommufdContext } from "./context.ts";
import { Ioas } from "./ioas.ts";
import { larger, U64_MAX } from "./ranges.ts";

const MIN_SIZE = 16;
const UNLIMITED = 0xffff_ffff;

export function compatInfo(context: IommufdContext, arg: UserArg): number {
  const argsz = new DataView(arg.copyIn(MIN_SIZE).buffer).getUint32(0, true);
  if (argsz < MIN_SIZE) return -EINVAL;
  const { size } = uapi.vfio_iommu_type1_info;
  const { table } = Ioas.compat(context);
  const avail = uapi.vfio_iommu_type1_info_dma_avail;
  const availAt = size;
  const rangesAt = availAt + Math.ceil(avail.size / 8) * 8;
  const ranges = iovaRanges(table.space.usable());
  const needed = rangesAt + ranges.length;
  if (argsz >= availAt + avail.size) {
    const header = { id: uapi.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, version: 1, next: 0 };
    arg.copyOut(avail.encode({ header, avail: UNLIMITED }), availAt);
  }
  writeRanges(arg, ranges, rangesAt, argsz - rangesAt);
  if (argsz >= rangesAt) {
    const next = new Uint8Array(new Uint32Array([rangesAt]).buffer);
    arg.copyOut(next, availAt + uapi.vfio_info_cap_header.offsets.next);
  }
  const reply = uapi.vfio_iommu_type1_info.encode({
    argsz: needed,
    flags: uapi.VFIO_IOMMU_INFO_PGSIZES | uapi.VFIO_IOMMU_INFO_CAPS,
    iova_pgsizes: pageSizes(table, BigInt(context.host.kernel.pageSize)),
    cap_offset: argsz >= needed ? size : 0,
  });
  arg.copyOut(reply.subarray(0, Math.min(argsz, size)));
  return 0;
}

/** What all page tables can do; sizes below the host's pages are shown as the host's page. */
function pageSizes({ domains, space }: Ioas["table"], host: bigint): bigint {
  const all = domains.reduce((common, domain) => common & domain.pageSizes, U64_MAX);
  const small = all & (host - 1n);
  const shown = small === 0n ? all : (all ^ small) | host;
  return larger(shown, space.alignment);
}

function iovaRanges(usable: readonly { first: bigint; last: bigint }[]): Uint8Array {
  const head = uapi.vfio_iommu_type1_info_cap_iova_range;
  const range = uapi.vfio_iova_range;
  const header = { id: uapi.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, version: 1, next: 0 };
  const bytes = head.encode(
    { header, nr_iovas: usable.length },
    new Uint8Array(head.size + usable.length * range.size),
  );
  usable.forEach(({ first, last }, i) => {
    bytes.set(range.encode({ start: first, end: last }), head.size + i * range.size);
  });
  return bytes;
}

/** Whole entries as far as there is room; the head only when all of them are there. */
function writeRanges(arg: UserArg, bytes: Uint8Array, at: number, room: number): void {
  const head = uapi.vfio_iommu_type1_info_cap_iova_range.size;
  const entry = uapi.vfio_iova_range.size;
  const fitting = Math.min(bytes.length, head + Math.floor((room - head) / entry) * entry);
  if (fitting > head) arg.copyOut(bytes.subarray(head, fitting), at + head);
  if (room >= bytes.length) arg.copyOut(bytes.subarray(0, head), at);
}
