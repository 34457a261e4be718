// Transfers of the edu device, driven through its VFIO file: a read fills the device's buffer from memory, a write
// stores the buffer. What the recorder put into memory is known from what a later write showed.
import type { Rig } from "./rig.ts";

const DMA_SOURCE = 0x80;
const DMA_DESTINATION = 0x88;
const DMA_COUNT = 0x90;
const DMA_COMMAND = 0x98;
const BUFFER = 0x40000;
const FROM_DEVICE = 2;
const START = 1;
const PCI_COMMAND = 4;
const MEMORY_AND_MASTER = 6;
const VFIO_CONFIG_REGION = 7 * 2 ** 40;
const PROBE = 8;

/** Memory decode and bus mastering on, as a driver does first. */
export function openEdu(rig: Rig, fd: number): number {
  rig.edu = fd;
  const word = new Uint8Array([MEMORY_AND_MASTER, 0]);
  return rig.parent.pwrite(fd, word, VFIO_CONFIG_REGION + PCI_COMMAND);
}

export function transfer(rig: Rig, direction: "read" | "write", iova: bigint): void {
  const write64 = (register: number, value: bigint): void => {
    rig.parent.pwrite(rig.edu, new Uint8Array(new BigUint64Array([value]).buffer), register);
  };
  write64(DMA_SOURCE, direction === "read" ? iova : BigInt(BUFFER));
  write64(DMA_DESTINATION, direction === "read" ? BigInt(BUFFER) : iova);
  write64(DMA_COUNT, BigInt(PROBE));
  write64(DMA_COMMAND, BigInt(direction === "read" ? START : START | FROM_DEVICE));
  rig.clock.advance(1000);
}

export function poke(rig: Rig, address: bigint, value: bigint): void {
  rig.parent.mm.write(address, new Uint8Array(new BigUint64Array([value]).buffer));
}

export function peek(rig: Rig, address: bigint): bigint {
  const bytes = new Uint8Array(PROBE);
  rig.parent.mm.read(address, bytes);
  return new DataView(bytes.buffer).getBigUint64(0, true);
}
