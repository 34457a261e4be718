// One page mapped and unmapped through ioctl bytes, as user-space TCE handling does for every H_PUT_TCE it serves.
// Aim: 300 000 pairs a second.
import { bench, describe } from "vitest";
import { SpaprContainer, VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE } from "../src/index.ts";
import { attachedContainer } from "../test/rig.ts";

const FLAGS = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
const PAIRS = 1000;
const PAGE = 0x1000;

describe("spapr-iommu: MAP_DMA and UNMAP_DMA of one page, 1000 pairs", () => {
  const { process, container } = attachedContainer("v2");
  const spapr = new SpaprContainer(container);
  const memory = new Uint8Array(1 << 20);
  spapr.registerMemory(memory);
  const address = Number(process.addressOf(memory));
  const hi = Math.floor(address / 2 ** 32);
  const lo = address % 2 ** 32;

  bench("v2, registered memory", () => {
    for (let i = 0; i < PAIRS; i++) {
      const offset = (i & 0xff) * PAGE;
      spapr.mapDma(0, offset, hi, lo + offset, PAGE, FLAGS);
      spapr.unmapDma(0, offset, PAGE);
    }
  });

  const first = attachedContainer("v1");
  const v1 = new SpaprContainer(first.container);
  v1.enable();
  const other = Number(first.process.addressOf(new Uint8Array(1 << 20)));

  bench("v1, pages pinned one by one", () => {
    for (let i = 0; i < PAIRS; i++) {
      const offset = (i & 0xff) * PAGE;
      v1.mapDma(0, offset, Math.floor(other / 2 ** 32), (other % 2 ** 32) + offset, PAGE, FLAGS);
      v1.unmapDma(0, offset, PAGE);
    }
  });
});
