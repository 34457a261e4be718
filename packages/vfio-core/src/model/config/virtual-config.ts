/**
 * Region 7 of vfio-pci: configuration space with some bits virtual, some passed through, some fixed.
 *
 * Source: vfio_config_do_rw and vfio_default_config_{read,write}; spec of every capability in the tables beside this
 * file, consequences of writes in behaviours.ts. An access beyond the space is EFAULT as a whole and has no effect.
 * Accesses do not allocate.
 */
import { EFAULT } from "@minivmm/host";
import { fixBars, type HostBar } from "./bars.ts";
import { type Behaviour, behaviourOf } from "./behaviours.ts";
import {
  PCI_COMMAND,
  PCI_COMMAND_MEMORY,
  PCI_DEVICE_ID,
  PCI_INTERRUPT_PIN,
  PCI_VENDOR_ID,
  touchesBar,
} from "./header.ts";
import { layOutConfig } from "./layout.ts";
import { HEADER, type PermissionMap } from "./permissions.ts";
import type { ConfigEffects, ConfigTarget, HardwareConfig } from "./target.ts";

export interface VirtualConfigOptions {
  readonly hw: HardwareConfig;
  readonly size: number;
  /** Six BARs and the ROM at index 6, as the host assigned them. */
  readonly bars: readonly HostBar[];
  readonly effects: ConfigEffects;
  /** Show interrupt pin 0. */
  readonly nointx: boolean;
  /** A virtual function: the ids that its own registers do not show. */
  readonly virtual?: { readonly vendor: number; readonly device: number } | undefined;
}

export class VirtualConfig implements ConfigTarget {
  readonly vconfig: Uint8Array;
  readonly map: PermissionMap;
  readonly capabilities: ReadonlyMap<number, number>;
  readonly hw: HardwareConfig;
  readonly effects: ConfigEffects;
  readonly bars: readonly HostBar[];
  readonly size: number;
  readonly isVirtual: boolean;
  barsDirty = true;
  /** INTx disable as the interrupt code last heard of it. */
  intxDisabled = false;

  constructor(options: VirtualConfigOptions) {
    this.hw = options.hw;
    this.size = options.size;
    this.bars = options.bars;
    this.effects = options.effects;
    const layout = layOutConfig(options.hw, options.size);
    this.vconfig = layout.vconfig;
    this.map = layout.map;
    this.capabilities = layout.capabilities;
    this.isVirtual = options.virtual !== undefined;
    if (options.virtual) {
      this.setVirtual(PCI_VENDOR_ID, 2, options.virtual.vendor);
      this.setVirtual(PCI_DEVICE_ID, 2, options.virtual.device);
      // Its memory decodes from the start; the bit is for the user's eyes.
      this.setVirtual(PCI_COMMAND, 2, this.virtual(PCI_COMMAND, 2) | PCI_COMMAND_MEMORY);
    }
    if (options.nointx || options.virtual) this.vconfig[PCI_INTERRUPT_PIN] = 0;
  }

  get interruptPin(): number {
    return this.vconfig[PCI_INTERRUPT_PIN] as number;
  }

  /** Memory decode as the user set it: gates BAR accesses. */
  get memoryEnabled(): boolean {
    return this.isVirtual || ((this.vconfig[PCI_COMMAND] as number) & PCI_COMMAND_MEMORY) !== 0;
  }

  /** Fills `into` from `offset`: bytes read, or -EFAULT. */
  read(into: Uint8Array, offset: number): number {
    const refused = this.#refuse(offset, into.length);
    if (refused !== 0 || into.length === 0) return refused;
    for (let done = 0; done < into.length; ) {
      const at = offset + done;
      const size = this.map.chunk(at, into.length - done);
      const value = this.readChunk(at, size);
      for (let i = 0; i < size; i++) into[done + i] = (value >>> (8 * i)) & 0xff;
      done += size;
    }
    return into.length;
  }

  /** Writes `from` at `offset`: bytes taken, or -EFAULT. Bits that may not change are ignored. */
  write(from: Uint8Array, offset: number): number {
    const refused = this.#refuse(offset, from.length);
    if (refused !== 0 || from.length === 0) return refused;
    for (let done = 0; done < from.length; ) {
      const at = offset + done;
      const size = this.map.chunk(at, from.length - done);
      let value = 0;
      for (let i = 0; i < size; i++) value |= (from[done + i] as number) << (8 * i);
      this.#writeChunk(at, size, value >>> 0);
      done += size;
    }
    return from.length;
  }

  readChunk(at: number, size: 1 | 2 | 4): number {
    if (this.barsDirty && this.map.owner[at] === HEADER && touchesBar(at, size)) {
      fixBars(this.vconfig, this.bars);
      this.barsDirty = false;
    }
    const virt = this.#mask(this.map.virt, at, size);
    const own = this.virtual(at, size);
    if (virt === fullMask(size)) return own;
    const value = ((this.hw.read(at, size) & ~virt) | (own & virt)) >>> 0;
    return this.isVirtual && at === PCI_COMMAND ? value | (own & PCI_COMMAND_MEMORY) : value;
  }

  /** Stores what may be stored: virtual bits here, the others in hardware. */
  storeChunk(at: number, size: 1 | 2 | 4, value: number): void {
    const write = this.#mask(this.map.write, at, size);
    if (write === 0) return;
    const virt = this.#mask(this.map.virt, at, size);
    const own = (write & virt) >>> 0;
    if (own !== 0) this.setVirtual(at, size, (this.virtual(at, size) & ~own) | (value & own));
    const physical = (write & ~virt) >>> 0;
    if (physical === 0) return;
    const kept = physical === fullMask(size) ? 0 : this.hw.read(at, size) & ~physical;
    this.hw.write(at, size, (kept | (value & physical)) >>> 0);
  }

  virtual(at: number, size: 1 | 2 | 4): number {
    return this.#mask(this.vconfig, at, size);
  }

  setVirtual(at: number, size: 1 | 2 | 4, value: number): void {
    for (let i = 0; i < size; i++) this.vconfig[at + i] = (value >>> (8 * i)) & 0xff;
  }

  #writeChunk(at: number, size: 1 | 2 | 4, value: number): void {
    const behaviour: Behaviour | undefined = behaviourOf(this.map.owner[at] as number, at);
    if (behaviour) behaviour(this, this.map.start[at] as number, at, size, value);
    else this.storeChunk(at, size, value);
  }

  /** `count` when all of a request lies inside the space, else -EFAULT. */
  check(offset: number, count: number): number {
    return this.#refuse(offset, count) || count;
  }

  #refuse(offset: number, count: number): number {
    if (count === 0) return 0;
    return offset < 0 || offset >= this.size || offset + count > this.size ? -EFAULT : 0;
  }

  #mask(bytes: Uint8Array, at: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= (bytes[at + i] as number) << (8 * i);
    return value >>> 0;
  }
}

function fullMask(size: number): number {
  return size === 4 ? 0xffffffff : size === 2 ? 0xffff : 0xff;
}
