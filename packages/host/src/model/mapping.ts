// What drivers answer an mmap with: an area in the caller's address space, as a Mapping.
// The area holds a reference on the file until it is unmapped. Closing a mapping is munmap of its range.

import type { AccessWidth, Mapping } from "../host.ts";
import { checkAccess, MappedBytes } from "../mapping.ts";
import type { DeviceMemory } from "./area.ts";
import type { MmapCall } from "./file.ts";
import type { AddressSpace } from "./mm.ts";

/** Maps device memory: every access goes to `device`. */
export function mapDevice(call: MmapCall, device: DeviceMemory): Mapping | number {
  const backing = { buffer: null, device, physical: device.physical ?? -1, file: call.file.get(), shared: true };
  const address = call.process.mm.mapBacking(call, backing, 0);
  if (address < 0) {
    call.file.put();
    return address;
  }
  return new ModelMapping(call.process.mm, address, call.length, null, device);
}

/**
 * Maps bytes that the driver owns; `bytes` covers the whole length and starts at a multiple of 8 in its buffer.
 * The buffer gets a host-physical range for as long as it is adopted by the process.
 */
export function mapBytes(call: MmapCall, bytes: Uint8Array): Mapping | number {
  const { mm } = call.process;
  const { buffer, byteOffset } = bytes;
  const backing = { buffer, device: null, physical: mm.hold(buffer), file: call.file.get(), shared: true };
  const address = mm.mapBacking(call, backing, byteOffset);
  if (address < 0) {
    call.file.put();
    return address;
  }
  return new ModelMapping(mm, address, call.length, bytes, null);
}

export class ModelMapping implements Mapping {
  readonly address: bigint;
  readonly length: number;
  readonly bytes: Uint8Array | null;
  readonly #mm: AddressSpace;
  readonly #memory: DeviceMemory;
  #open = true;

  constructor(
    mm: AddressSpace,
    address: number,
    length: number,
    bytes: Uint8Array | null,
    device: DeviceMemory | null,
  ) {
    this.address = BigInt(address);
    this.length = length;
    this.bytes = bytes;
    this.#mm = mm;
    this.#memory = device ?? new MappedBytes(bytes ?? new Uint8Array(0));
  }

  load(offset: number, width: AccessWidth): number {
    checkAccess(offset, width, this.length);
    return this.#memory.load(offset, width);
  }

  store(offset: number, width: AccessWidth, value: number): void {
    checkAccess(offset, width, this.length);
    this.#memory.store(offset, width, value);
  }

  close(): number {
    if (!this.#open) return 0;
    this.#open = false;
    return this.#mm.munmap(Number(this.address), this.length);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
