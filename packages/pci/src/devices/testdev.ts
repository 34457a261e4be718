// QEMU's PCI test device (docs/specs/pci-testdev.txt): it measures what an access costs. A number written to the first
// byte of BAR 0 (memory) or BAR 1 (I/O) chooses a test; the BAR then begins with a header that says where to write what,
// and counts the writes that were right. Only one test is chosen at a time, and only its BAR shows the header.
// Header: test number, width, two reserved bytes, offset, data, count, name.
import type { BarWidth } from "../bar.ts";
import { PciDevice } from "../device.ts";

const SIZES = [0x1000, 0x100] as const;
const SELECT = 0;
const HEADER_NAME = 0x10;
const NAME_LIMIT = 0x40;
const BYTE = 1;
const MATCH = 0xfa;
const NO_MATCH = 0xce;

/** Per BAR; numbers count on from one BAR to the next. A wildcard takes any value, so it asks for another one. */
const KINDS = [
  { name: "no-eventfd", data: MATCH, matches: true },
  { name: "wildcard-eventfd", data: NO_MATCH, matches: false },
  { name: "datamatch-eventfd", data: MATCH, matches: true },
] as const;

interface Test {
  readonly bar: number;
  readonly number: number;
  /** In the upper half of the BAR, one byte for each test. */
  readonly offset: number;
  readonly data: number;
  readonly matches: boolean;
  readonly name: string;
}

const TESTS: readonly Test[] = SIZES.flatMap((size, bar) =>
  KINDS.map(({ name, data, matches }, index) => {
    const number = bar * KINDS.length + index;
    return { bar, number, offset: size / 2 + number, data, matches, name: `${bar === 0 ? "mmio" : "portio"}-${name}` };
  }),
);

export class PciTestDevice extends PciDevice {
  #chosen: Test | null = null;
  #count = 0;

  constructor() {
    super({
      vendor: 0x1b36,
      device: 0x0005,
      classCode: 0x00ff00,
      subsystemVendor: 0x1af4,
      subsystem: 0x1100,
    });
    this.addBar({ index: 0, type: "mem32", size: SIZES[0], prefetchable: false });
    this.addBar({ index: 1, type: "io", size: SIZES[1], prefetchable: false });
  }

  readBar(bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    out[0] = 0;
    out[1] = 0;
    const test = this.#chosen;
    if (test?.bar !== bar) return;
    for (let i = 0; i < width; i++) out[i >> 2]! |= this.#headerByte(test, offset + i) << ((i & 3) * 8);
  }

  writeBar(bar: number, offset: number, width: BarWidth, lo: number): void {
    if (offset === SELECT) {
      const value = lo & 0xff;
      this.#chosen = value < KINDS.length ? TESTS[bar * KINDS.length + value]! : null;
      this.#count = 0;
      return;
    }
    const test = this.#chosen;
    if (test?.bar !== bar || offset !== test.offset) return;
    if (test.matches && (width !== BYTE || (lo & 0xff) !== test.data)) return;
    this.#count = (this.#count + 1) >>> 0;
  }

  protected onReset(): void {
    this.#chosen = null;
    this.#count = 0;
  }

  #headerByte(test: Test, at: number): number {
    if (at >= HEADER_NAME) return at < NAME_LIMIT ? test.name.charCodeAt(at - HEADER_NAME) || 0 : 0;
    const words = [test.number | (BYTE << 8), test.offset, test.data, this.#count];
    return (words[at >> 2]! >>> ((at & 3) * 8)) & 0xff;
  }
}
