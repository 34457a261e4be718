// The bare-metal guest that hands memory to edu, on the whole machine: what the device gets, with what attribute, and what the
// checker of DMA says to drivers that flush, that forget it, and that need not.
import { realHost } from "@minivmm/host";
import { EduDevice, edu } from "@minivmm/pci/devices";
import { describe, expect, it } from "vitest";
import type { CoherencyReport } from "../src/coherency/report.ts";
import {
  DMA_BLOCKS,
  DMA_BYTES,
  DMA_PASS,
  DMA_RAM,
  DMA_STOPWATCH,
  type DmaPart,
  dmaPattern,
  dmaProgram,
} from "../src/guests/index.ts";
import { createVm } from "../src/index.ts";

const SNOOPED: DmaPart = { snooped: true, flushed: false, rounds: 3, warmUp: 1 };
const FLUSHED: DmaPart = { snooped: false, flushed: true, rounds: 2, warmUp: 0 };
const FORGOTTEN: DmaPart = { ...FLUSHED, flushed: false };

/** Counts transfers, and keeps what its buffer had at the guest's marks. */
class CountingEdu extends EduDevice {
  readonly marks: { readonly transfers: number; readonly buffer: Uint8Array }[] = [];
  private transfers = 0;

  constructor() {
    super({
      noSnoop: true,
      after: (_, run) => {
        this.transfers++;
        run();
        return { cancel: () => undefined };
      },
    });
  }

  override writeBar(bar: number, offset: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void {
    if (offset === DMA_STOPWATCH) {
      this.marks.push({ transfers: this.transfers, buffer: this.buffer.slice() });
      this.transfers = 0;
    }
    super.writeBar(bar, offset, width, lo, hi);
  }
}

async function run(parts: readonly DmaPart[], device: EduDevice, checked: boolean) {
  let text = "";
  using vm = await createVm(realHost(), {
    machine: "pseries",
    memoryBytes: DMA_RAM,
    kernel: { bytes: dmaProgram(parts) },
    devices: [{ driver: "emulated", device, id: "edu0" }],
    clock: "instructions",
    console: { write: (bytes) => (text += new TextDecoder().decode(bytes)) },
    ...(checked ? { coherency: {} } : {}),
  });
  expect((await vm.run()).reason).toBe("power-off");
  return { text, coherency: vm.summary().coherency };
}

/** What the checker says to a guest of one part or more. */
async function reports(...parts: readonly DmaPart[]): Promise<readonly CoherencyReport[]> {
  const { text, coherency = [] } = await run(parts, new CountingEdu(), true);
  expect(text).toContain(DMA_PASS);
  return coherency;
}

describe("vmm guests: a page handed to a device by DMA", () => {
  it("arrives in every round, snooped or flushed, and comes back", async () => {
    const parts = [SNOOPED, FLUSHED, { ...SNOOPED, warmUp: 0, rounds: 1 }];
    const device = new CountingEdu();
    const { text, coherency } = await run(parts, device, false);
    expect(text).toBe(`minivmm-bare: started\npci: device 11e81234, class ff00\n${DMA_PASS}\n`);
    expect(coherency).toBeUndefined();
    // The mark that ends the warm-up of each part, which has what the part before it read back, and the one that ends the part.
    expect(device.marks.map(({ transfers }) => transfers)).toEqual([1, 3, 1, 2, 1, 1]);
    parts.forEach((part, n) => {
      const { buffer } = device.marks[2 * n + 1]!;
      expect(Buffer.compare(buffer, dmaPattern(part)), `part ${n}`).toBe(0);
    });
    expect([DMA_BYTES, DMA_BLOCKS]).toEqual([device.buffer.length, 32]);
  });

  it("is told where nothing snoops and nothing is flushed, once for each round, and nowhere else", async () => {
    expect(await reports(SNOOPED)).toEqual([]);
    expect(await reports(FLUSHED)).toEqual([]);
    expect(await reports(FORGOTTEN)).toMatchObject([
      {
        kind: "unflushed",
        access: "read",
        device: "edu0",
        missing: "dcbf or dcbst, and hwsync, of 32 of 32 blocks that the CPU has written",
        count: 2,
      },
    ]);
    // The guest says itself whether the device may: one part after the other.
    expect(await reports(FLUSHED, SNOOPED)).toEqual([]);
    expect(await reports(SNOOPED, FORGOTTEN)).toMatchObject([{ kind: "unflushed", count: 2 }]);
  });

  it("needs an edu that can ask for No Snoop, and parts that can be", async () => {
    const { text } = await run([SNOOPED], edu(), false);
    expect(text).toContain("FAIL no Express capability");
    for (const part of [{ rounds: 0 }, { warmUp: -1 }, { rounds: 2 ** 31 }]) {
      expect(() => dmaProgram([{ ...SNOOPED, ...part }])).toThrow(RangeError);
    }
    expect(() => dmaProgram(new Array<DmaPart>(17).fill(SNOOPED))).toThrow(RangeError);
  });
});
