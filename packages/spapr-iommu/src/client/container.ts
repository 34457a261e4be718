// An sPAPR container as a VMM uses it: window information, ENABLE (v1), registered memory and windows (v2), mapping.
// Built on a VFIO container whose IOMMU type is set. Set-up calls throw SpaprError; mapDma and unmapDma return raw
// results, because a caller must tell 0, -errno and the positive 1 (a misaligned or out-of-window IOVA) apart.
import { E2BIG, ENOMEM, type Host } from "@minivmm/host";
import { DmaCalls, type VfioContainer } from "@minivmm/vfio-core";
import { SpaprError } from "../error.ts";
import * as uapi from "../uapi.ts";
import { EehPe } from "./eeh.ts";
import { refused, tooLittleMemlock } from "./refusals.ts";

export interface SpaprInfo {
  /** Bus address and bytes of the default window. */
  dma32WindowStart: number;
  dma32WindowSize: number;
  /** Bitmap of IOMMU page sizes; 0 without dynamic windows (v1). */
  pgsizes: bigint;
  maxDynamicWindows: number;
  levels: number;
}

export interface SpaprWindow {
  /** log2 of the IOMMU page size. */
  pageShift: number;
  /** Bytes, a power of two. */
  windowSize: bigint;
  /** Levels of the table. Default 1. */
  levels?: number;
}

/** Bytes the process owns, or a range of its addresses. */
export type SpaprMemory = Uint8Array | { address: bigint; size: number };

export class SpaprContainer {
  readonly container: VfioContainer;
  readonly eeh: EehPe;
  readonly #host: Host;
  readonly #ioctls: uapi.SpaprIoctls;
  readonly #dma: DmaCalls;

  constructor(container: VfioContainer) {
    this.container = container;
    this.#host = container.host;
    this.#ioctls = uapi.spaprIoctls(container.host.arch);
    this.#dma = new DmaCalls(container.host, container.fd, this.#ioctls);
    this.eeh = new EehPe(container.host, container.fd, this.#ioctls.VFIO_EEH_PE_OP);
  }

  /** VFIO_IOMMU_SPAPR_TCE_GET_INFO. Throws SpaprError. */
  info(): SpaprInfo {
    const struct = uapi.vfio_iommu_spapr_tce_info;
    const bytes = struct.encode({ argsz: struct.size });
    this.#call(this.#ioctls.VFIO_IOMMU_SPAPR_TCE_GET_INFO, bytes, "the DMA window cannot be asked for");
    const info = struct.decode(bytes);
    return {
      dma32WindowStart: info.dma32_window_start,
      dma32WindowSize: info.dma32_window_size,
      pgsizes: info.ddw.pgsizes,
      maxDynamicWindows: info.ddw.max_dynamic_windows_supported,
      levels: info.ddw.levels,
    };
  }

  /** VFIO_IOMMU_ENABLE (v1): charges the whole default window as locked memory. Throws SpaprError MEMLOCK and others. */
  enable(): void {
    const result = this.#host.ioctl(this.container.fd, this.#ioctls.VFIO_IOMMU_ENABLE);
    if (result < 0) throw refused(this.#host, "the container cannot be enabled", result, { size: this.#windowSize() });
  }

  /** VFIO_IOMMU_DISABLE (v1). Mappings stay. */
  disable(): void {
    const result = this.#host.ioctl(this.container.fd, this.#ioctls.VFIO_IOMMU_DISABLE);
    if (result < 0) throw refused(this.#host, "the container cannot be disabled", result);
  }

  /** REGISTER_MEMORY (v2): pins and charges. Throws SpaprError MEMLOCK, MEMORY_REFUSED. */
  registerMemory(memory: SpaprMemory): void {
    const { bytes, details } = this.#memoryArgument(memory);
    const what = `${details.size} bytes at 0x${details.address.toString(16)} cannot be registered for DMA`;
    const result = this.#call(this.#ioctls.VFIO_IOMMU_SPAPR_REGISTER_MEMORY, bytes, what, details);
    if (result === 0) return;
    // A hole behind the first page: the kernel returns the pages it had pinned and undoes everything.
    throw new SpaprError(`${what}: only its first ${result} pages are mapped`, {
      code: "MEMORY_REFUSED",
      errno: E2BIG,
      details: { ...details, pinned: result },
      hint: "Register ranges that are mapped readable and writable throughout.",
    });
  }

  /** UNREGISTER_MEMORY (v2). Throws SpaprError MEMORY_REFUSED when that range was not registered here. */
  unregisterMemory(memory: SpaprMemory): void {
    const { bytes, details } = this.#memoryArgument(memory);
    const what = `${details.size} bytes at 0x${details.address.toString(16)} cannot be unregistered`;
    this.#call(this.#ioctls.VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, bytes, what, details);
  }

  /** TCE_CREATE (v2): the bus address where the new window starts. Throws SpaprError WINDOW_REFUSED, MEMLOCK. */
  createWindow(window: SpaprWindow): bigint {
    const { pageShift: page_shift, windowSize: window_size, levels = 1 } = window;
    const struct = uapi.vfio_iommu_spapr_tce_create;
    const bytes = struct.encode({ argsz: struct.size, page_shift, window_size, levels });
    const what = `a DMA window of ${window_size} bytes in pages of ${2 ** page_shift} cannot be made`;
    const table = (Number(window_size) / 2 ** page_shift) * 8;
    const result = this.#host.ioctl(this.container.fd, this.#ioctls.VFIO_IOMMU_SPAPR_TCE_CREATE, bytes);
    if (result === -ENOMEM) throw tooLittleMemlock(this.#host, what, { ...window, size: table }, true);
    if (result < 0) throw refused(this.#host, what, result, { ...window });
    return struct.decode(bytes).start_addr;
  }

  /** TCE_REMOVE (v2). Any address inside a window names it. Throws SpaprError. */
  removeWindow(start: bigint): void {
    const struct = uapi.vfio_iommu_spapr_tce_remove;
    const bytes = struct.encode({ argsz: struct.size, start_addr: start });
    const what = `there is no DMA window at 0x${start.toString(16)} to remove`;
    this.#call(this.#ioctls.VFIO_IOMMU_SPAPR_TCE_REMOVE, bytes, what, { start });
  }

  /**
   * MAP_DMA. 64-bit addresses in halves, `size` in bytes below 2^53, `flags` VFIO_DMA_MAP_FLAG_*. Raw result: 0,
   * -errno, or 1 for an IOVA that is misaligned. Does not allocate.
   */
  mapDma(iovaHi: number, iovaLo: number, vaddrHi: number, vaddrLo: number, size: number, flags: number): number {
    return this.#dma.map(iovaHi, iovaLo, vaddrHi, vaddrLo, size, flags);
  }

  /** UNMAP_DMA. Raw result as for mapDma; 1 also when the range runs past the window. Does not allocate. */
  unmapDma(iovaHi: number, iovaLo: number, size: number): number {
    return this.#dma.unmap(iovaHi, iovaLo, size);
  }

  #memoryArgument(memory: SpaprMemory): { bytes: Uint8Array; details: { address: bigint; size: number } } {
    const details =
      memory instanceof Uint8Array
        ? { address: this.#host.addressOf(memory), size: memory.byteLength }
        : { address: memory.address, size: memory.size };
    const struct = uapi.vfio_iommu_spapr_register_memory;
    const bytes = struct.encode({ argsz: struct.size, vaddr: details.address, size: BigInt(details.size) });
    return { bytes, details };
  }

  #windowSize(): number | undefined {
    const struct = uapi.vfio_iommu_spapr_tce_info;
    const bytes = struct.encode({ argsz: struct.size });
    const result = this.#host.ioctl(this.container.fd, this.#ioctls.VFIO_IOMMU_SPAPR_TCE_GET_INFO, bytes);
    return result < 0 ? undefined : struct.decode(bytes).dma32_window_size;
  }

  #call(request: number, bytes: Uint8Array, what: string, details: Record<string, unknown> = {}): number {
    const result = this.#host.ioctl(this.container.fd, request, bytes);
    if (result < 0) throw refused(this.#host, what, result, details);
    return result;
  }
}
