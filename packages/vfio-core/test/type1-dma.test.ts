// Device DMA through a container: translation, permissions, transfers over several mappings, peers, and the flush.
import { describe, expect, it } from "vitest";
import { iommuGroupOf, VfioGroup } from "../src/index.ts";
import { BRIDGED, EDU } from "./fixture.ts";
import { ram, type1Host } from "./type1-fixture.ts";

const PAGE = 4096;

function busMaster() {
  const host = type1Host();
  const fn = host.topology.get(EDU);
  fn.writeConfig(4, 2, 6);
  return { ...host, port: fn.device.dma };
}

describe("vfio-core type1 DMA", () => {
  it("vfio-core type1 dma: directions are the device's", () => {
    const { dma, memory, port } = busMaster();
    dma.map({ iova: 0x1000, vaddr: memory.address, flags: 1 });
    dma.map({ iova: 0x2000, vaddr: memory.address + PAGE, flags: 2 });
    const bytes = new Uint8Array(8).fill(7);
    expect([port.read(0, 0x1000, bytes), port.write(0, 0x1000, bytes)]).toEqual([true, false]);
    expect([port.read(0, 0x2000, bytes), port.write(0, 0x2000, bytes)]).toEqual([false, true]);
    expect(memory.bytes[PAGE]).toBe(0x11);
    expect(port.read(0, 0x3000, bytes)).toBe(false);
  });

  it("vfio-core type1 dma: a transfer crosses mappings, and stops at a hole", () => {
    const { dma, process, port } = busMaster();
    const memory = ram(process, 4);
    dma.map({ iova: 0x10000, vaddr: memory.address + 2 * PAGE });
    dma.map({ iova: 0x11000, vaddr: memory.address });
    const data = Uint8Array.from({ length: PAGE }, (_, i) => i * 7);
    expect(port.write(0, 0x10800, data)).toBe(true);
    expect(memory.bytes.subarray(2 * PAGE + 0x800, 3 * PAGE)).toEqual(data.subarray(0, 0x800));
    expect(memory.bytes.subarray(0, 0x800)).toEqual(data.subarray(0x800));
    expect(port.write(0, 0x11800, data)).toBe(false);
    expect(port.write(0, 0xf800, data)).toBe(false);
  });

  it("vfio-core type1 dma: above and across 4 GiB", () => {
    const { dma, memory, port } = busMaster();
    dma.map({ iova: 2 ** 32 - PAGE, vaddr: memory.address, size: 2 * PAGE });
    dma.map({ iova: 2 ** 40, vaddr: memory.address });
    const bytes = new Uint8Array(16).fill(0x5a);
    expect(port.write(0, 0xfffffff8, bytes)).toBe(true);
    expect(memory.bytes.subarray(PAGE - 8, PAGE + 8)).toEqual(bytes);
    expect(port.read(0x100, 8, bytes)).toBe(true);
    expect(port.read(0, 8, bytes)).toBe(false);
  });

  it("vfio-core type1 dma: ends with the mapping, also for a device that used it just before", () => {
    const { dma, memory, port } = busMaster();
    const bytes = new Uint8Array(4);
    for (let i = 0; i < 3; i++) {
      dma.map({ iova: 0, vaddr: memory.address + i * PAGE });
      memory.bytes[i * PAGE] = i;
      expect(port.read(0, 0, bytes)).toBe(true);
      expect(bytes[0]).toBe(i);
      dma.unmap(0, PAGE);
      expect(port.read(0, 0, bytes)).toBe(false);
    }
  });

  it("vfio-core type1 dma: reaches BARs of other devices", () => {
    const { dma, container, process, port, topology } = busMaster();
    topology.get(BRIDGED).bus.bridge?.writeConfig(4, 2, 7);
    const group = VfioGroup.open(process, iommuGroupOf(process, BRIDGED));
    group.setContainer(container);
    const peer = group.device(BRIDGED);
    peer.writeConfig(4, 2, 2);
    const bar = peer.mapRegion(0, 0, PAGE);
    expect(dma.map({ iova: 0x5000, vaddr: bar.address })).toBe(0);
    expect(port.write(0, 0x5004, Uint8Array.from([0x78, 0x56, 0x34, 0x12]))).toBe(true);
    const out = new Uint32Array(2);
    peer.readRegion(0, 4, 4, out);
    expect(out[0]).toBe(~0x12345678 >>> 0);
    const back = new Uint8Array(4);
    expect(port.read(0, 0x5004, back)).toBe(true);
    expect(new DataView(back.buffer).getUint32(0, true)).toBe(out[0]);
  });
});
