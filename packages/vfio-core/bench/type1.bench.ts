// What mapping page by page (a virtual IOMMU in the guest) and device DMA cost on the modelled host. 1000 operations each.
import { bench, describe } from "vitest";
import { DmaCalls, type1Ioctls } from "../src/index.ts";
import { EDU } from "../test/fixture.ts";
import { type1Host } from "../test/type1-fixture.ts";

function host(others: number) {
  const { process, container, memory, dma, topology } = type1Host();
  for (let i = 0; i < others; i++) dma.map({ iova: 0x1_0000_0000 + i * 8192, vaddr: memory.address });
  const calls = new DmaCalls(process, container.fd, type1Ioctls(process.arch));
  const hi = Math.floor(memory.address / 2 ** 32);
  const lo = memory.address % 2 ** 32;
  const fn = topology.get(EDU);
  fn.writeConfig(4, 2, 6);
  calls.map(0, 0x100000, hi, lo, 0x40000, 3);
  const pairs = (at: number) => {
    for (let i = 0; i < 1000; i++) {
      calls.map(at, i << 12, hi, lo, 4096, 3);
      calls.unmap(at, i << 12, 4096);
    }
  };
  return { pairs, port: fn.device.dma };
}

describe("vfio-core type1", () => {
  const few = host(0);
  const many = host(60_000);
  const bytes = new Uint8Array(16);
  bench("1000 pairs of MAP and UNMAP of a page", () => few.pairs(2));
  bench("1000 pairs among 60000 mappings", () => many.pairs(0xf0));
  bench("1000 DMA reads of 16 bytes", () => {
    for (let i = 0; i < 1000; i++) few.port.read(0, 0x100000 + i * 16, bytes);
  });
  bench("1000 DMA reads of 16 bytes from as many mappings", () => {
    for (let i = 0; i < 1000; i++) many.port.read(1, i * 8192, bytes);
  });
});
