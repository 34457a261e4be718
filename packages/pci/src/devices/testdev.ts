// QEMU's PCI test device (docs/specs/pci-testdev.txt): it measures what an access costs. BAR 0 (memory) and BAR 1 (I/O)
// hold a header that software steps through: which test runs, where to write, with what data; writes there are counted.
// The two BARs have the same layout: test number, width type, two reserved bytes, offset, data, count, name.
import type { BarWidth } from "../bar.ts";
import { PciDevice } from "../device.ts";

const MEMORY_SIZE = 0x1000;
const IO_SIZE = 0x100;

const TEST = 0x00;
const WIDTH = 0x01;
const OFFSET = 0x04;
const DATA = 0x08;
const COUNT = 0x0c;
const NAME = 0x10;
/** Where tests write, after the header. */
const TARGET = 0x80;
const TARGET_DATA = 0xfa;
const BYTES = 1;
const NO_TEST = 0xff;

/** In the order of their numbers. A test without an eventfd is served by the device itself. */
const TESTS = ["no-eventfd", "wildcard-eventfd", "datamatch-eventfd"] as const;

interface Header {
  test: number;
  count: number;
}

export class PciTestDevice extends PciDevice {
  readonly #headers: [Header, Header] = [
    { test: NO_TEST, count: 0 },
    { test: NO_TEST, count: 0 },
  ];

  constructor() {
    super({
      vendor: 0x1b36,
      device: 0x0005,
      classCode: 0x00ff00,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
    });
    this.addBar({ index: 0, type: "mem32", size: MEMORY_SIZE, prefetchable: false });
    this.addBar({ index: 1, type: "io", size: IO_SIZE, prefetchable: false });
  }

  readBar(bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    out[0] = 0;
    out[1] = 0;
    for (let i = 0; i < width; i++) out[i >> 2]! |= this.#byte(bar, offset + i) << ((i & 3) * 8);
  }

  writeBar(bar: number, offset: number, _width: BarWidth, lo: number): void {
    const header = this.#headers[bar];
    if (!header) return;
    if (offset === TEST) {
      header.test = (lo & 0xff) < TESTS.length ? lo & 0xff : NO_TEST;
      header.count = 0;
    } else if (offset === TARGET && header.test !== NO_TEST) header.count = (header.count + 1) >>> 0;
  }

  protected onReset(): void {
    for (const header of this.#headers) {
      header.test = NO_TEST;
      header.count = 0;
    }
  }

  /** Nothing is shown before a test has been chosen. */
  #byte(bar: number, at: number): number {
    const header = this.#headers[bar];
    const name = header && TESTS[header.test];
    if (!header || name === undefined) return 0;
    const word = (value: number, from: number): number => (value >>> ((at - from) * 8)) & 0xff;
    if (at === TEST) return header.test;
    if (at === WIDTH) return BYTES;
    if (at >= OFFSET && at < DATA) return word(TARGET, OFFSET);
    if (at === DATA) return TARGET_DATA;
    if (at >= COUNT && at < NAME) return word(header.count, COUNT);
    const text = `${bar === 0 ? "mmio" : "portio"}-${name}`;
    return at >= NAME ? text.charCodeAt(at - NAME) || 0 : 0;
  }
}
