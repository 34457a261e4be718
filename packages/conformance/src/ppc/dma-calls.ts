// Transfers of the edu device, driven through its VFIO file: a read fills the device's buffer from memory, a write stores
// the buffer. What the recorder had put into memory is known from what the transfers showed.

import { MAP_SHARED, PROT_READ, PROT_WRITE } from "@minivmm/host";
import { regionZero } from "./file-calls.ts";
import type { PpcStep } from "./format.ts";
import { type Answer, big, type Call, hex, type PpcScene } from "./scene.ts";

const DMA_SOURCE = 0x80;
const DMA_DESTINATION = 0x88;
const DMA_COUNT = 0x90;
const DMA_COMMAND = 0x98;
const BUFFER = 0x40000n;
const START = 1n;
const FROM_DEVICE = 2n;
const PROBE_BYTES = 8;
const TRANSFER_MS = 1000;
const PCI_COMMAND = 4;
const MEMORY_AND_MASTER = 6;
const CONFIG_REGION = 7 * 2 ** 40;

export const DMA_CALLS: Readonly<Record<string, Call>> = {
  edu_open: openEdu,
  device_dma_read: readMemory,
  device_dma_write: writeMemory,
};

/** Memory decode and bus mastering on, as a driver does first. */
function openEdu(scene: PpcScene): Answer {
  const fd = [...scene.fds].findLast(([name]) => /^d\d/.test(name))?.[1] ?? -1;
  scene.edu = fd;
  const { host } = scene.actor;
  const { size, flags } = regionZero(scene, fd);
  host.pwrite(fd, new Uint8Array([MEMORY_AND_MASTER, 0]), CONFIG_REGION + PCI_COMMAND);
  // The recorder drove the device through a mapping that it kept, which keeps the device open.
  const bar = host.mmap({ fd, length: Number(size), prot: PROT_READ | PROT_WRITE, flags: MAP_SHARED });
  return { ret: 0, out: { bar0_size: hex(size), bar0_flags: flags, mmap_ok: typeof bar === "number" ? 0 : 1 } };
}

function readMemory(scene: PpcScene, { out }: PpcStep, next: PpcStep | undefined): Answer {
  const iova = big(out.iova);
  const from = scene.target(iova);
  // What lay there is what the following write showed; where it showed zeros, the read must not have got it.
  const followed = next?.call === "device_dma_write" && scene.target(big(next.out.iova)) !== null;
  const shown = followed ? big(next.out.probe_after) : 0n;
  if (from !== null) poke(scene, from, shown !== 0n ? shown : big(out.probe_before));
  transfer(scene, "read", iova);
  scene.bufferKnown = true;
  return { ret: 0 };
}

function writeMemory(scene: PpcScene, { out }: PpcStep): Answer {
  const iova = big(out.iova);
  const to = scene.target(iova);
  if (to !== null) poke(scene, to, big(out.probe_before));
  transfer(scene, "write", iova);
  if (to === null) return { ret: 0 };
  const after = peek(scene, to);
  // Before the first read of a case the buffer holds what an earlier case left: that it arrived is all.
  const arrived = !scene.bufferKnown && after !== big(out.probe_before) && out.probe_after !== out.probe_before;
  return { ret: 0, out: { probe_after: arrived ? out.probe_after : hex(after) } };
}

function transfer(scene: PpcScene, direction: "read" | "write", iova: bigint): void {
  const write64 = (register: number, value: bigint): void => {
    scene.actor.host.pwrite(scene.edu, new Uint8Array(new BigUint64Array([value]).buffer), register);
  };
  write64(DMA_SOURCE, direction === "read" ? iova : BUFFER);
  write64(DMA_DESTINATION, direction === "read" ? BUFFER : iova);
  write64(DMA_COUNT, BigInt(PROBE_BYTES));
  write64(DMA_COMMAND, direction === "read" ? START : START | FROM_DEVICE);
  scene.stage.wait(TRANSFER_MS);
}

function poke(scene: PpcScene, address: bigint, value: bigint): void {
  scene.actor.writeMemory(address, new Uint8Array(new BigUint64Array([value]).buffer));
}

function peek(scene: PpcScene, address: bigint): bigint {
  const bytes = new Uint8Array(PROBE_BYTES);
  scene.actor.readMemory(address, bytes);
  return new DataView(bytes.buffer).getBigUint64(0, true);
}
