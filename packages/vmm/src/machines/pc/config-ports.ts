// PCI configuration mechanism #1: an address register at 0xcf8 that only a dword access reaches, and a window of four
// bytes at 0xcfc onto the register that it names.
// Source: PCI Local Bus 3.0 section 3.2.2.3.2. Linux looks for the mechanism by writing a byte at 0xcfb, which must not
// change the address, and reading 0x80000000 back (arch/x86/pci/direct.c, pci_check_type1).
// Invariant: where no register answers, reads give ones.
import type { PciBus } from "../../pci/bus.ts";
import { PORT_PCI_ADDRESS, PORT_PCI_DATA } from "./memory-map.ts";
import type { PortBus, PortDevice, PortWidth } from "./ports.ts";

const ENABLE = 0x8000_0000;
/** Enable, bus, device, function, register; the bits between read as zero. */
const ADDRESS_BITS = 0x80ff_fffc;

export class ConfigPorts implements PortDevice {
  private readonly bus: PciBus;
  private address = 0;

  constructor(bus: PciBus) {
    this.bus = bus;
  }

  attach(ports: PortBus): void {
    ports.claim(PORT_PCI_ADDRESS, 4, this);
    ports.claim(PORT_PCI_DATA, 4, this);
  }

  read(port: number, width: PortWidth): number {
    if (port < PORT_PCI_DATA) return width === 4 ? this.address : 2 ** (width * 8) - 1;
    const offset = port - PORT_PCI_DATA;
    // A word in the middle of the window is a cycle of its own on the bus, but no register is there in one piece.
    if (offset % width !== 0) return this.read(port, 1) | (this.read(port + 1, 1) << 8);
    const value = this.selected ? this.bus.configRead(this.devfn, this.register + offset, width) : -1;
    return value < 0 ? 2 ** (width * 8) - 1 : value;
  }

  write(port: number, width: PortWidth, value: number): void {
    if (port < PORT_PCI_DATA) {
      if (width === 4) this.address = (value & ADDRESS_BITS) >>> 0;
      return;
    }
    const offset = port - PORT_PCI_DATA;
    if (offset % width !== 0) {
      this.write(port, 1, value & 0xff);
      this.write(port + 1, 1, (value >>> 8) & 0xff);
    } else if (this.selected) this.bus.configWrite(this.devfn, this.register + offset, width, value);
  }

  /** Enabled, and on bus 0. */
  private get selected(): boolean {
    return (this.address & ENABLE) !== 0 && (this.address & 0xff_0000) === 0;
  }

  private get devfn(): number {
    return (this.address >>> 8) & 0xff;
  }

  private get register(): number {
    return this.address & 0xfc;
  }
}
