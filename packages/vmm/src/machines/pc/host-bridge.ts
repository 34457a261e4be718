// The PCI host bridge of pc: a PCI Express root bus whose configuration registers are reached through ports (config-ports.ts)
// and through memory (ECAM), whose memory windows lie in the CPU's address space, and whose I/O window is a range of ports.
// It shows itself in slot 0 as the memory controller of Intel's Q35, which guests know.
// Source: PCI Express Base 4.0 section 7.2.2 (ECAM).
// Invariants: an access to ECAM reaches a register only when it is aligned and not wider than a dword, as CPUs make them; a
// wider one is two. Pins are level inputs of the I/O APIC from GSI_PCI on, and an endpoint may hand its pin to KVM.

import { Q35HostBridge } from "@minivmm/pci/devices/host-bridge";
import { NO_DMA } from "@minivmm/pci/function";
import { PciBus } from "../../pci/bus.ts";
import { type DecodedRange, readOnes } from "../../pci/decode.ts";
import { EmulatedEndpoint } from "../../pci/emulated.ts";
import { ConfigPorts } from "./config-ports.ts";
import { type AddressRange, ECAM, GSI_PCI, IO_WINDOW, MEM32_WINDOW, PCI_LINES } from "./memory-map.ts";
import type { PortBus, PortWidth } from "./ports.ts";

export interface PcHostBridgeOptions {
  /** From mem64Window(); its size may be 0. */
  readonly mem64: AddressRange;
  setGsi(gsi: number, level: boolean): void;
  sendMessage(addressHi: number, addressLo: number, data: number): void;
  /** Called when the addresses change at which stores of the CPU may be combined. */
  combinable?(ranges: readonly DecodedRange[]): void;
}

export class PcHostBridge extends PciBus {
  readonly mem64: AddressRange;
  private readonly halves = new Uint32Array(2);

  constructor(options: PcHostBridgeOptions) {
    super({
      memory: [identity(MEM32_WINDOW), identity(options.mem64)],
      io: [identity(IO_WINDOW)],
      pins: { first: GSI_PCI, count: PCI_LINES },
      pinsInKernel: true,
      setInput: (gsi, level) => options.setGsi(gsi, level),
      message: (hi, lo, data) => options.sendMessage(hi, lo, data),
      combinable: (ranges) => options.combinable?.(ranges),
      bridge: new EmulatedEndpoint("host bridge", new Q35HostBridge({ ecam: ECAM.start }), NO_DMA),
    });
    this.mem64 = options.mem64;
  }

  /** Claims the ports of the configuration mechanism and of the I/O window. */
  attach(ports: PortBus): void {
    new ConfigPorts(this).attach(ports);
    ports.claim(IO_WINDOW.start, IO_WINDOW.size, {
      read: (port, width) => this.portRead(port, width),
      write: (port, width, value) => {
        this.io.write(port, width, value, 0);
      },
    });
  }

  /** Where stores of the CPU may be combined. */
  combinableRanges(): DecodedRange[] {
    return this.memory.combinable();
  }

  /** Combined stores: consecutive bytes of one BAR, at most 64. The bytes are the caller's. */
  writeBurst(address: number, bytes: Uint8Array): boolean {
    return this.memory.writeBurst(address, bytes);
  }

  /** A load of the CPU from a memory window or ECAM. False: neither, and `out` has ones. `out` as in PciEndpoint.readBar. */
  read(address: number, width: 1 | 2 | 4 | 8, out: Uint32Array): boolean {
    if (this.memory.read(address, width, out)) return true;
    if (!inEcam(address)) return false;
    const offset = address - ECAM.start;
    out[0] = this.ecamRead(offset, width === 8 ? 4 : width);
    out[1] = width === 8 ? this.ecamRead(offset + 4, 4) : 0;
    return true;
  }

  write(address: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): boolean {
    if (this.memory.write(address, width, lo, hi)) return true;
    if (!inEcam(address)) return false;
    const offset = address - ECAM.start;
    this.ecamWrite(offset, width === 8 ? 4 : width, lo);
    if (width === 8) this.ecamWrite(offset + 4, 4, hi);
    return true;
  }

  /** `offset` counts from the start of ECAM; ones where no register answers. */
  ecamRead(offset: number, width: PortWidth): number {
    const value = this.configRead(offset >>> 12, offset & 0xfff, width);
    if (value >= 0) return value;
    readOnes(width, this.halves);
    return this.halves[0]!;
  }

  ecamWrite(offset: number, width: PortWidth, value: number): void {
    this.configWrite(offset >>> 12, offset & 0xfff, width, value);
  }

  private portRead(port: number, width: PortWidth): number {
    this.io.read(port, width, this.halves);
    return this.halves[0]!;
  }
}

function identity({ start, size }: AddressRange): { cpu: number; bus: number; size: number } {
  return { cpu: start, bus: start, size };
}

function inEcam(address: number): boolean {
  return address >= ECAM.start && address < ECAM.start + ECAM.size;
}
