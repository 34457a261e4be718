// The processor's I/O ports: which device answers one of the 65536.
// A device claims a range. Where ranges overlap the smaller one has the ports that both name, and an access goes whole to
// the device that has its first port if it lies inside that device's range. So a byte at 0xcf9 is the reset register, and
// a dword at 0xcf8 is the PCI address. Everything else is taken apart into bytes, as a bus of 8-bit devices does.
// Invariants: looking up takes the same time for every port and allocates nothing; ports that nobody claims read as ones.
import { hex, VmmError } from "../../errors.ts";

export type PortWidth = 1 | 2 | 4;

export interface PortDevice {
  /** The value, unsigned and of `width` bytes. */
  read(port: number, width: PortWidth): number;
  write(port: number, width: PortWidth, value: number): void;
}

const PORTS = 0x1_0000;
const CLAIMS_MAX = 0xff;

export class PortBus {
  /** Accesses of which at least one byte went to nobody. */
  unclaimed = 0;
  /** By port: index of the claim, 0 for none. */
  private readonly owners = new Uint8Array(PORTS);
  private readonly devices: (PortDevice | undefined)[] = [undefined];
  /** By claim: its first port and the one behind its last. */
  private readonly firsts: number[] = [0];
  private readonly ends: number[] = [0];

  /** Throws VmmError USAGE_DEVICE when a range of the same size or one that is only partly inside overlaps. */
  claim(first: number, count: number, device: PortDevice): void {
    const end = first + count;
    this.checkClaim(first, end);
    const index = this.devices.length;
    this.devices.push(device);
    this.firsts.push(first);
    this.ends.push(end);
    for (let port = first; port < end; port++) {
      const owner = this.owners[port]!;
      if (owner === 0 || this.sizeOf(owner) > count) this.owners[port] = index;
    }
  }

  read(port: number, width: PortWidth): number {
    const owner = this.owners[port]!;
    if (owner !== 0 && port + width <= this.ends[owner]!) return this.devices[owner]!.read(port, width);
    let value = 0;
    let missed = false;
    for (let i = 0; i < width; i++) {
      const byteOwner = this.owners[port + i] ?? 0;
      if (byteOwner === 0) missed = true;
      const byte = byteOwner === 0 ? 0xff : this.devices[byteOwner]!.read(port + i, 1) & 0xff;
      value |= byte << (i * 8);
    }
    if (missed) this.unclaimed++;
    return value >>> 0;
  }

  write(port: number, width: PortWidth, value: number): void {
    const owner = this.owners[port]!;
    if (owner !== 0 && port + width <= this.ends[owner]!) {
      this.devices[owner]!.write(port, width, value);
      return;
    }
    let missed = false;
    for (let i = 0; i < width; i++) {
      const byteOwner = this.owners[port + i] ?? 0;
      if (byteOwner === 0) missed = true;
      else this.devices[byteOwner]!.write(port + i, 1, (value >>> (i * 8)) & 0xff);
    }
    if (missed) this.unclaimed++;
  }

  private sizeOf(claim: number): number {
    return this.ends[claim]! - this.firsts[claim]!;
  }

  private checkClaim(first: number, end: number): void {
    let why = "";
    if (!(first >= 0 && end > first && end <= PORTS)) why = "there are ports 0 to 0xffff";
    if (this.devices.length > CLAIMS_MAX) why = `there are ${CLAIMS_MAX} claims already`;
    for (let claim = 1; claim < this.devices.length && why === ""; claim++) {
      const [otherFirst, otherEnd] = [this.firsts[claim]!, this.ends[claim]!];
      if (otherEnd <= first || otherFirst >= end) continue;
      const within = first >= otherFirst && end <= otherEnd;
      const around = first <= otherFirst && end >= otherEnd;
      if (within === around) why = `ports ${hex(otherFirst)} to ${hex(otherEnd - 1)} are another device's`;
    }
    if (why === "") return;
    throw new VmmError(`a device cannot have I/O ports ${hex(first)} to ${hex(end - 1)}: ${why}`, {
      code: "USAGE_DEVICE",
      details: { first, end },
    });
  }
}

/** A device with registers of a byte: a wider access is one of each port, the lowest first. */
export abstract class ByteDevice implements PortDevice {
  protected abstract readByte(port: number): number;
  protected abstract writeByte(port: number, value: number): void;

  read(port: number, width: PortWidth): number {
    let value = this.readByte(port);
    for (let i = 1; i < width; i++) value |= this.readByte(port + i) << (i * 8);
    return value >>> 0;
  }

  write(port: number, width: PortWidth, value: number): void {
    for (let i = 0; i < width; i++) this.writeByte(port + i, (value >>> (i * 8)) & 0xff);
  }
}
