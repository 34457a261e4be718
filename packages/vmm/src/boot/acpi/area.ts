// A piece of guest memory that tables are put into one after another, so that each is where another one says.
import { hex } from "../../errors.ts";
import { acpiValue } from "./bytes.ts";

export class AcpiArea {
  readonly start: number;
  private readonly memory: Uint8Array;
  private used = 0;

  constructor(start: number, size: number) {
    this.start = start;
    this.memory = new Uint8Array(size);
  }

  /** Where `bytes` came to be, at a multiple of `align`. Throws VmmError ACPI_VALUE when the area is full. */
  add(bytes: Uint8Array, align = 16): number {
    const address = this.reserve(bytes.length, align);
    this.put(address, bytes);
    return address;
  }

  /** A place for what can be written only later, with put(). */
  reserve(size: number, align = 16): number {
    const address = Math.ceil((this.start + this.used) / align) * align;
    const end = address + size - this.start;
    if (end > this.memory.length) {
      throw acpiValue(`they need ${hex(end)} bytes at ${hex(this.start)}, where there are ${hex(this.memory.length)}`);
    }
    this.used = end;
    return address;
  }

  put(address: number, bytes: Uint8Array): void {
    this.memory.set(bytes, address - this.start);
  }

  /** From `start` to the end of the last one. */
  get bytes(): Uint8Array {
    return this.memory.slice(0, this.used);
  }
}
