// What a system call on the modelled kernel costs before any driver work: a MAP_DMA-like command, argument by buffer
// and by address, and an eventfd signal with an irqfd-like consumer.

import { bench, describe } from "vitest";
import { EINVAL, O_RDWR } from "../src/index.ts";
import { EventFd, ModelKernel } from "../src/model/index.ts";

const kernel = new ModelKernel({ arch: "ppc64le" });
const MAP = kernel.ioctls.IO(0x3b, 113);
const UNMAP = kernel.ioctls.IO(0x3b, 114);
kernel.registerNode("/dev/mapper", () => ({
  kind: "mapper",
  ioctl({ request, arg }) {
    const view = arg.view(32);
    if (!view || view.getUint32(0, true) < 32) return -EINVAL;
    view.setUint32(28, request === MAP ? view.getUint32(24, true) : 0, true);
    return 0;
  },
}));

const process = kernel.spawn();
const fd = process.open("/dev/mapper", O_RDWR);
const bytes = new Uint8Array(32);
new DataView(bytes.buffer).setUint32(0, 32, true);
const address = process.addressOf(bytes);
const PAIRS = 1000;

describe("host model: 1000 ioctl pairs", () => {
  bench("argument by buffer", () => {
    for (let i = 0; i < PAIRS; i++) {
      process.ioctl(fd, MAP, bytes);
      process.ioctl(fd, UNMAP, bytes);
    }
  });

  bench("argument by address", () => {
    for (let i = 0; i < PAIRS; i++) {
      process.ioctl(fd, MAP, address);
      process.ioctl(fd, UNMAP, address);
    }
  });
});

describe("host model: 1000 interrupts", () => {
  const event = new EventFd();
  event.onWake(() => {
    event.drain();
  });
  bench("eventfd signal to a kernel user", () => {
    for (let i = 0; i < PAIRS; i++) event.signal();
  });
});
