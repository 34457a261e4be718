/**
 * A VFIO device as a user holds it: information, regions, configuration space, interrupts, reset.
 *
 * readRegion and writeRegion are the MMIO path of a VMM: one system call, no allocation.
 */
import { type Host, MAP_SHARED, type Mapping, PROT_READ, PROT_WRITE } from "@minivmm/host";
import * as uapi from "../uapi.ts";
import { irqRefused, mapRefused, resetRefused } from "./device-refusals.ts";
import { type CapabilityBytes, capabilityChain } from "./info-caps.ts";
import { ioctlsOf } from "./ioctl.ts";
import { refused } from "./refusals.ts";

export interface DeviceInfo {
  /** VFIO_DEVICE_FLAGS_* */
  readonly flags: number;
  readonly regions: number;
  readonly irqs: number;
}

export interface RegionInfo {
  readonly index: number;
  /** Bytes; 0 when the region is not implemented. */
  readonly size: number;
  /** Where it starts in the device's file. */
  readonly offset: number;
  /** VFIO_REGION_INFO_FLAG_* */
  readonly flags: number;
  readonly capabilities: readonly CapabilityBytes[];
}

export interface IrqInfo {
  readonly index: number;
  /** VFIO_IRQ_INFO_* */
  readonly flags: number;
  readonly count: number;
}

export interface SetIrqs {
  readonly index: number;
  /** First vector. Default 0. */
  readonly start?: number;
  /** One eventfd a vector; -1 disconnects. */
  readonly fds: readonly number[];
}

export class VfioDevice implements Disposable {
  readonly host: Host;
  readonly fd: number;
  /** PCI address, for messages. */
  readonly name: string;
  readonly #io: readonly Uint8Array[] = [1, 2, 4, 8].map((size) => new Uint8Array(size));
  #open = true;

  constructor(host: Host, fd: number, name: string) {
    this.host = host;
    this.fd = fd;
    this.name = name;
  }

  /** VFIO_DEVICE_GET_INFO */
  info(): DeviceInfo {
    const arg = uapi.vfio_device_info.encode({ argsz: uapi.vfio_device_info.size });
    this.#must(ioctlsOf(this.host).VFIO_DEVICE_GET_INFO, arg, "does not describe itself");
    const { flags, num_regions, num_irqs } = uapi.vfio_device_info.decode(arg);
    return { flags, regions: num_regions, irqs: num_irqs };
  }

  /** VFIO_DEVICE_GET_REGION_INFO with its capabilities. Throws VfioError REFUSED (EINVAL: no such region). */
  region(index: number): RegionInfo {
    let arg = uapi.vfio_region_info.encode({ argsz: uapi.vfio_region_info.size, index });
    for (;;) {
      this.#must(ioctlsOf(this.host).VFIO_DEVICE_GET_REGION_INFO, arg, `has no region ${index}`);
      const info = uapi.vfio_region_info.decode(arg);
      if (info.argsz > arg.length) {
        arg = uapi.vfio_region_info.encode({ argsz: info.argsz, index }, new Uint8Array(info.argsz));
        continue;
      }
      const chained = (info.flags & uapi.VFIO_REGION_INFO_FLAG_CAPS) !== 0;
      const capabilities = chained ? capabilityChain(arg, info.cap_offset) : [];
      return { index, size: Number(info.size), offset: Number(info.offset), flags: info.flags, capabilities };
    }
  }

  /** VFIO_DEVICE_GET_IRQ_INFO. Throws VfioError REFUSED (EINVAL: no such index). */
  irq(index: number): IrqInfo {
    const arg = uapi.vfio_irq_info.encode({ argsz: uapi.vfio_irq_info.size, index });
    this.#must(ioctlsOf(this.host).VFIO_DEVICE_GET_IRQ_INFO, arg, `has no interrupt index ${index}`);
    const { flags, count } = uapi.vfio_irq_info.decode(arg);
    return { index, flags, count };
  }

  /**
   * One access of a region: `out[0]` gets the low, `out[1]` the high half; what the device does not answer (memory
   * disabled, outside the region) reads as ones. Result: bytes read or -errno.
   */
  readRegion(index: number, offset: number, width: 1 | 2 | 4 | 8, out: Uint32Array): number {
    const bytes = this.#io[width === 8 ? 3 : width >> 1] as Uint8Array;
    const result = this.host.pread(this.fd, bytes, index * uapi.VFIO_PCI_OFFSET_SIZE + offset);
    if (result < width) bytes.fill(0xff, Math.max(result, 0));
    out[0] = load(bytes, 0, Math.min(width, 4));
    out[1] = width === 8 ? load(bytes, 4, 4) : 0;
    return result;
  }

  /** One write of `width` bytes. Result: bytes written or -errno. */
  writeRegion(index: number, offset: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): number {
    const bytes = this.#io[width === 8 ? 3 : width >> 1] as Uint8Array;
    for (let i = 0; i < width; i++) bytes[i] = (i < 4 ? lo >>> (8 * i) : hi >>> (8 * (i - 4))) & 0xff;
    return this.host.pwrite(this.fd, bytes, index * uapi.VFIO_PCI_OFFSET_SIZE + offset);
  }

  /** Bytes in one request; the kernel cuts it into naturally aligned accesses. Result: bytes written or -errno. */
  writeRegionBytes(index: number, offset: number, bytes: Uint8Array): number {
    return this.host.pwrite(this.fd, bytes, index * uapi.VFIO_PCI_OFFSET_SIZE + offset);
  }

  /** `size` bytes of configuration space as an unsigned number; ones beyond its end. */
  readConfig(offset: number, size: 1 | 2 | 4): number {
    const bytes = this.#io[size >> 1] as Uint8Array;
    const at = uapi.VFIO_PCI_CONFIG_REGION_INDEX * uapi.VFIO_PCI_OFFSET_SIZE + offset;
    if (this.host.pread(this.fd, bytes, at) < size) bytes.fill(0xff);
    return load(bytes, 0, size);
  }

  writeConfig(offset: number, size: 1 | 2 | 4, value: number): void {
    this.writeRegion(uapi.VFIO_PCI_CONFIG_REGION_INDEX, offset, size, value, 0);
  }

  /** Maps `length` bytes of a region (default: all). Throws VfioError NOT_MAPPABLE (`details.reason` tells why), REFUSED. */
  mapRegion(index: number, offset = 0, length: number = this.region(index).size - offset): Mapping {
    const at = index * uapi.VFIO_PCI_OFFSET_SIZE + offset;
    const request = { length, prot: PROT_READ | PROT_WRITE, flags: MAP_SHARED, fd: this.fd, offset: at };
    const mapping = this.host.mmap(request);
    if (typeof mapping === "number") throw mapRefused(this, { index, offset, length }, mapping);
    return mapping;
  }

  /**
   * Connects eventfds to the vectors of an index. Returns 0, or a positive number: only so many vectors could be had
   * and nothing was enabled. Throws VfioError IRQ_MODE (another index is active), IRQ_RANGE, IRQ_BUSY, IRQ_EVENTFD, REFUSED.
   */
  setIrqs({ index, start = 0, fds }: SetIrqs): number {
    const flags = uapi.VFIO_IRQ_SET_DATA_EVENTFD | uapi.VFIO_IRQ_SET_ACTION_TRIGGER;
    const tail = new Uint8Array(new Int32Array(fds).buffer);
    return this.#irqs({ flags, index, start, count: fds.length }, tail, "cannot enable", true);
  }

  /** Disables an index that is enabled; one that is not is left alone. */
  disableIrqs(index: number): void {
    const flags = uapi.VFIO_IRQ_SET_DATA_NONE | uapi.VFIO_IRQ_SET_ACTION_TRIGGER;
    const arg = uapi.vfio_irq_set.encode({ argsz: uapi.vfio_irq_set.size, flags, index });
    this.host.ioctl(this.fd, ioctlsOf(this.host).VFIO_DEVICE_SET_IRQS, arg);
  }

  /** Signals the eventfds of an index as if the device had (loopback). */
  triggerIrqs(index: number, start = 0, count = 1): void {
    const flags = uapi.VFIO_IRQ_SET_DATA_NONE | uapi.VFIO_IRQ_SET_ACTION_TRIGGER;
    this.#irqs({ flags, index, start, count }, NOTHING, "cannot trigger");
  }

  /** Masks INTx. */
  mask(index: number = uapi.VFIO_PCI_INTX_IRQ_INDEX): void {
    const flags = uapi.VFIO_IRQ_SET_DATA_NONE | uapi.VFIO_IRQ_SET_ACTION_MASK;
    this.#irqs({ flags, index, start: 0, count: 1 }, NOTHING, "cannot mask");
  }

  /** Unmasks INTx; with `fd`, each signal of that eventfd will do so from now on (-1 ends that). */
  unmask(index: number = uapi.VFIO_PCI_INTX_IRQ_INDEX, fd?: number): void {
    const data = fd === undefined ? uapi.VFIO_IRQ_SET_DATA_NONE : uapi.VFIO_IRQ_SET_DATA_EVENTFD;
    const tail = fd === undefined ? NOTHING : new Uint8Array(new Int32Array([fd]).buffer);
    const flags = data | uapi.VFIO_IRQ_SET_ACTION_UNMASK;
    this.#irqs({ flags, index, start: 0, count: 1 }, tail, "cannot unmask");
  }

  /** VFIO_DEVICE_RESET. Throws VfioError NO_RESET (the function has none of its own), RESET_FAILED, RESET_BUSY, REFUSED. */
  reset(): void {
    const result = this.host.ioctl(this.fd, ioctlsOf(this.host).VFIO_DEVICE_RESET);
    if (result < 0) throw resetRefused(this, result);
  }

  close(): void {
    if (this.#open) this.host.close(this.fd);
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #irqs(
    set: { flags: number; index: number; start: number; count: number },
    tail: Uint8Array,
    what: string,
    enabling = false,
  ): number {
    const argsz = uapi.vfio_irq_set.size + tail.length;
    const arg = uapi.vfio_irq_set.encode({ argsz, ...set }, new Uint8Array(argsz));
    arg.set(tail, uapi.vfio_irq_set.size);
    const result = this.host.ioctl(this.fd, ioctlsOf(this.host).VFIO_DEVICE_SET_IRQS, arg);
    if (result < 0) throw irqRefused(this, what, set, result, enabling);
    return result;
  }

  #must(request: number, arg: Uint8Array, what: string): number {
    const result = this.host.ioctl(this.fd, request, arg);
    if (result < 0) throw refused(`${this.name} ${what}`, result, { device: this.name });
    return result;
  }
}

const NOTHING = new Uint8Array(0);

function load(bytes: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = ((value << 8) | (bytes[at + i] as number)) >>> 0;
  return value;
}
