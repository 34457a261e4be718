/**
 * Regions 0..6 of vfio-pci through pread/pwrite: BARs and the expansion ROM.
 *
 * A request is cut at the end of the BAR and split into naturally aligned accesses of at most 8 bytes (4 before 6.12).
 * The MSI-X table reads as ones and swallows writes. Every MMIO of a VMM without mappings comes through here, so
 * nothing is allocated. Source: vfio_pci_rdwr.c (vfio_pci_bar_rw, vfio_pci_core_do_io_rw).
 */
import { EINVAL, EIO, ENOMEM } from "@minivmm/host";
import type { BarWidth, PciFunction } from "@minivmm/pci";
import { type HostBar, ROM_INDEX } from "./config/bars.ts";
import { PCI_COMMAND, PCI_COMMAND_IO, PCI_COMMAND_MEMORY } from "./config/header.ts";
import { romByte, romImageSize } from "./rom.ts";

export interface RegionDevice {
  readonly fn: PciFunction;
  readonly bars: readonly HostBar[];
  readonly barWidth: 4 | 8;
  /** The user's memory enable, and not in D3hot: memory BARs answer. */
  memoryAccessible(): boolean;
}

export class BarRegions {
  readonly #device: RegionDevice;
  readonly #out = new Uint32Array(2);
  readonly #msixBar: number;
  readonly #msixStart: number;
  readonly #msixEnd: number;

  constructor(device: RegionDevice) {
    this.#device = device;
    const { msix } = device.fn.device;
    this.#msixBar = msix ? msix.bar : -1;
    this.#msixStart = msix ? msix.tableOffset : 0;
    this.#msixEnd = msix ? msix.tableOffset + 16 * msix.vectors : 0;
  }

  /** The BAR that holds the MSI-X table, -1 for none. */
  get msixBar(): number {
    return this.#msixBar;
  }

  touchesMsixTable(index: number, pos: number, size: number): boolean {
    return index === this.#msixBar && pos < this.#msixEnd && pos + size > this.#msixStart;
  }

  /** Bytes read, or -errno. */
  read(index: number, into: Uint8Array, pos: number): number {
    if (index === ROM_INDEX) return this.#readRom(into, pos);
    const bar = this.#device.bars[index] as HostBar;
    if (bar.start === 0 || pos >= bar.size) return -EINVAL;
    const count = Math.min(into.length, bar.size - pos);
    const memory = bar.kind === "memory";
    for (let done = 0; done < count; ) {
      if (memory && !this.#device.memoryAccessible()) return -EIO;
      const width = this.#width(index, pos + done, count - done);
      if (this.touchesMsixTable(index, pos + done, 1)) into.fill(0xff, done, done + width);
      else this.#load(index, memory, pos + done, width, into, done);
      done += width;
    }
    return count;
  }

  /** How many of `size` bytes a write would take, or -errno. */
  checkWrite(index: number, size: number, pos: number): number {
    if (index === ROM_INDEX) return -EINVAL;
    const bar = this.#device.bars[index] as HostBar;
    if (bar.start === 0 || pos >= bar.size) return -EINVAL;
    if (bar.kind === "memory" && !this.#device.memoryAccessible()) return -EIO;
    return Math.min(size, bar.size - pos);
  }

  /** Bytes written, or -errno. */
  write(index: number, from: Uint8Array, pos: number): number {
    const count = this.checkWrite(index, from.length, pos);
    const memory = index !== ROM_INDEX && (this.#device.bars[index] as HostBar).kind === "memory";
    for (let done = 0; done < count; ) {
      if (memory && !this.#device.memoryAccessible()) return -EIO;
      const width = this.#width(index, pos + done, count - done);
      if (!this.touchesMsixTable(index, pos + done, 1)) this.#store(index, memory, pos + done, width, from, done);
      done += width;
    }
    return count;
  }

  /** One access as the bus does it; ones when the function does not decode. `out` gets low and high half. */
  access(index: number, pos: number, width: BarWidth, out: Uint32Array): void {
    this.#bus(index, (this.#device.bars[index] as HostBar).kind === "memory", pos, width, out);
  }

  store(index: number, pos: number, width: BarWidth, lo: number, hi: number): void {
    const { fn } = this.#device;
    if (this.#decodes((this.#device.bars[index] as HostBar).kind === "memory")) {
      fn.device.writeBar(index, pos, width, lo, hi);
    }
  }

  /** Widest aligned access that neither leaves the request nor crosses an edge of the MSI-X table. */
  #width(index: number, at: number, left: number): BarWidth {
    let room = left;
    if (index === this.#msixBar) {
      if (at < this.#msixStart) room = Math.min(room, this.#msixStart - at);
      else if (at < this.#msixEnd) room = Math.min(room, this.#msixEnd - at);
    }
    if (room >= 8 && at % 8 === 0 && this.#device.barWidth === 8) return 8;
    if (room >= 4 && at % 4 === 0) return 4;
    return room >= 2 && at % 2 === 0 ? 2 : 1;
  }

  #load(index: number, memory: boolean, at: number, width: BarWidth, into: Uint8Array, done: number): void {
    const out = this.#out;
    this.#bus(index, memory, at, width, out);
    const lo = out[0] as number;
    into[done] = lo;
    if (width === 1) return;
    into[done + 1] = lo >>> 8;
    if (width === 2) return;
    into[done + 2] = lo >>> 16;
    into[done + 3] = lo >>> 24;
    if (width === 4) return;
    const hi = out[1] as number;
    into[done + 4] = hi;
    into[done + 5] = hi >>> 8;
    into[done + 6] = hi >>> 16;
    into[done + 7] = hi >>> 24;
  }

  #store(index: number, memory: boolean, at: number, width: BarWidth, from: Uint8Array, done: number): void {
    if (!this.#decodes(memory)) return;
    let lo = 0;
    for (let i = Math.min(width, 4) - 1; i >= 0; i--) lo = ((lo << 8) | (from[done + i] as number)) >>> 0;
    let hi = 0;
    if (width === 8) for (let i = 7; i >= 4; i--) hi = ((hi << 8) | (from[done + i] as number)) >>> 0;
    this.#device.fn.device.writeBar(index, at, width, lo, hi);
  }

  #bus(index: number, memory: boolean, at: number, width: BarWidth, out: Uint32Array): void {
    if (this.#decodes(memory)) {
      this.#device.fn.device.readBar(index, at, width, out);
      return;
    }
    out[0] = width >= 4 ? 0xffffffff : width === 2 ? 0xffff : 0xff;
    out[1] = width === 8 ? 0xffffffff : 0;
  }

  /** What the hardware says, whatever the user believes: present, decode on, not isolated after an error. */
  #decodes(memory: boolean): boolean {
    const { fn } = this.#device;
    if (!fn.responding || fn.group?.peFrozen) return false;
    if (fn.physfn) return fn.physfn.device.sriov?.decodes ?? false;
    const command = fn.config.bytes[PCI_COMMAND] as number;
    return (command & (memory ? PCI_COMMAND_MEMORY : PCI_COMMAND_IO)) !== 0;
  }

  #readRom(into: Uint8Array, pos: number): number {
    const bar = this.#device.bars[ROM_INDEX] as HostBar;
    if (bar.start === 0 || pos >= bar.size) return -EINVAL;
    // With decode off the header is not there, which is how the kernel finds no image.
    const { fn } = this.#device;
    const image = fn.shadowRom || this.#decodes(true) ? romImageSize(fn, bar.size) : 0;
    if (image === 0) return -ENOMEM;
    const count = Math.min(into.length, bar.size - pos);
    for (let done = 0; done < count; done++) {
      into[done] = pos + done < image ? romByte(fn, pos + done) : 0xff;
    }
    return count;
  }
}
