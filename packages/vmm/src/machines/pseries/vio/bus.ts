// The VIO bus (/vdevice): which unit addresses exist. A unit address is a LIOBN at the same time, so it lies below the
// LIOBNs of PCI. Source: PAPR 2.7 chapter 17; QEMU 7.2 hw/ppc/spapr_vio.c for the addresses it hands out.
// Invariant: no two devices, the console included, share a unit address or an interrupt.
import { hex, VmmError } from "../../../errors.ts";
import { IRQ_VTY, pciLiobn, VIO_UNIT_BASE, VTY_UNIT } from "../memory-map.ts";
import { type VioDevice, vioIrq } from "./device.ts";

/** Interrupt sources of the bus, and with them the devices it can have. */
const INTERRUPTS = 256;

export class VioBus {
  readonly devices: VioDevice[] = [];

  find(unit: number): VioDevice | undefined {
    return this.devices.find((device) => device.unit === unit);
  }

  /** The lowest unit address from 0x71000000 on that can be had with its interrupt. Throws VmmError USAGE_DEVICE. */
  freeUnit(): number {
    for (let unit = VIO_UNIT_BASE; unit < VIO_UNIT_BASE + INTERRUPTS; unit++) {
      if (this.conflict(unit) === undefined) return unit;
    }
    throw new VmmError(`all ${INTERRUPTS} interrupts of the VIO bus are in use`, { code: "USAGE_DEVICE" });
  }

  /** Throws VmmError USAGE_DEVICE when a device of that name cannot have this unit address. */
  check(name: string, unit: number): void {
    const possible = Number.isInteger(unit) && unit > 0 && unit < pciLiobn(0);
    const why = possible ? this.conflict(unit) : "a unit address lies between 0x1 and 0x7fffffff";
    if (why === undefined) return;
    throw new VmmError(`device ${name}: cannot use the unit address ${hex(unit)}: ${why}`, {
      code: "USAGE_DEVICE",
      details: { device: name, unit },
      hint: `${hex(this.freeUnit())} is free; without an address the device gets it by itself`,
    });
  }

  /** Throws VmmError USAGE_DEVICE when its unit address cannot be had. */
  plug(device: VioDevice): void {
    this.check(device.name, device.unit);
    device.attach();
    this.devices.push(device);
    this.devices.sort((a, b) => a.unit - b.unit);
  }

  reset(): void {
    for (const device of this.devices) device.reset();
  }

  close(): void {
    for (const device of this.devices) device.close();
  }

  private conflict(unit: number): string | undefined {
    if (unit === VTY_UNIT) return "the console is there";
    const irq = vioIrq(unit);
    if (irq === IRQ_VTY) return "its interrupt is the console's";
    for (const other of this.devices) {
      if (other.unit === unit) return `${other.name} is there`;
      if (other.irq === irq) return `its interrupt is that of ${other.name} at ${hex(other.unit)}`;
    }
    return undefined;
  }
}
