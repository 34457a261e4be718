// The bare-metal guest that draws, on the whole machine: what its stores become on their way to a display, and that the
// display shows the same whatever they become.
import { type HostDescription, modelHost } from "@minivmm/model-host";
import { VgaDevice } from "@minivmm/pci/devices";
import { describe, expect, it } from "vitest";
import type { DeviceConfig } from "../src/config.ts";
import {
  FRAMES_DISPLAY_MEMORY,
  FRAMES_PASS,
  FRAMES_RAM,
  FRAMES_STOPWATCH,
  type FramesPart,
  framesPartOffset,
  framesPattern,
  framesProgram,
} from "../src/guests/index.ts";
import { createVm, type PseriesSummary } from "../src/index.ts";

const FRAME: Omit<FramesPart, "mapping"> = { bytes: 4096, frames: 1, warmUp: 0 };
const GUARDED: FramesPart = { ...FRAME, mapping: "guarded" };
const TOLERANT: FramesPart = { ...FRAME, mapping: "tolerant" };

/** Counts writes to its memory between the guest's marks. */
class CountingDisplay extends VgaDevice {
  readonly marks: { readonly writes: number; readonly bursts: number }[] = [];
  private writes = 0;
  private bursts = 0;

  override writeBar(bar: number, offset: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void {
    if (bar === 0) this.writes++;
    else if (offset === FRAMES_STOPWATCH) {
      const { writes, bursts } = this;
      this.marks.push({ writes, bursts });
      this.writes = this.bursts = 0;
    }
    super.writeBar(bar, offset, width, lo, hi);
  }

  override writeBarBurst(bar: number, offset: number, bytes: Uint8Array): void {
    this.bursts++;
    super.writeBarBurst(bar, offset, bytes);
  }
}

/** A POWER9 with a display to give away. */
const DISPLAY_TO_GIVE: HostDescription = {
  name: "power9 with a display",
  arch: "ppc64le",
  iommu: { kind: "spapr", platform: "powernv" },
  domains: [
    {
      domain: 1,
      devices: [
        {
          at: "00.0",
          bridge: "root-port",
          driver: "pcieport",
          children: [{ at: "00.0", model: "vga", driver: "vfio-pci" }],
        },
      ],
    },
  ],
};

interface Run {
  readonly text: string;
  readonly summary: PseriesSummary;
}

async function run(
  parts: readonly FramesPart[],
  device: DeviceConfig,
  accel: "soft" | "kvm" = "soft",
  host: string | HostDescription = "power9",
): Promise<Run> {
  using model = modelHost(host);
  let text = "";
  using vm = await createVm(model.spawn({ memlock: Number.POSITIVE_INFINITY }), {
    machine: "pseries",
    memoryBytes: FRAMES_RAM,
    kernel: { bytes: framesProgram(parts) },
    devices: [device],
    accel,
    clock: accel === "soft" ? "instructions" : "wall",
    console: {
      write: (bytes) => {
        text += new TextDecoder().decode(bytes);
      },
    },
  });
  const { reason } = await vm.run();
  expect(reason).toBe("power-off");
  return { text, summary: vm.summary() };
}

async function draw(parts: readonly FramesPart[], accel?: "soft" | "kvm") {
  const device = new CountingDisplay();
  const { text, summary } = await run(parts, { driver: "emulated", device, id: "display" }, accel);
  expect(text).toBe(`minivmm-bare: started\npci: device 11111234, class 30000\n${FRAMES_PASS}\n`);
  parts.forEach((part, n) => {
    const at = framesPartOffset(n);
    const drawn = device.memory.subarray(at, at + part.bytes);
    expect(Buffer.compare(drawn, framesPattern(part)), `part ${n}`).toBe(0);
  });
  // The mark that ends the warm-up of each part, and the one that ends the part.
  return { summary, measured: device.marks.filter((_, n) => n % 2 === 1) };
}

describe("vmm guests: frames drawn through two mappings", () => {
  it("take 512 transactions of 4 KiB guarded, and 64 where they may be combined", async () => {
    const { measured, summary } = await draw([GUARDED, TOLERANT]);
    expect(measured).toEqual([
      { writes: 512, bursts: 0 },
      { writes: 0, bursts: 64 },
    ]);
    expect(summary.exits.burst).toBe(64);
    expect(summary.devices[0]!.barWrites).toEqual([
      { bar: 0, writes: 512, bursts: 64, bytes: 8192 },
      { bar: 2, writes: 4, bursts: 0, bytes: 16 },
    ]);
  });

  it("are right frame after frame, of any size, whichever mapping goes first", async () => {
    const { measured } = await draw([
      { mapping: "tolerant", bytes: 1 << 20, frames: 1, warmUp: 1 },
      { mapping: "guarded", bytes: 192, frames: 3, warmUp: 0 },
      { mapping: "tolerant", bytes: 192, frames: 3, warmUp: 2 },
    ]);
    expect(measured.slice(1)).toEqual([
      { writes: 72, bursts: 0 },
      { writes: 0, bursts: 9 },
    ]);
    const { writes, bursts } = measured[0]!;
    // A line that is being gathered when the machine looks at its event loop goes out in parts.
    expect(bursts + writes).toBeGreaterThanOrEqual(16_384);
    expect(bursts + writes).toBeLessThan(16_400);
  });

  it("under KVM, which emulates accesses one by one, are never combined", async () => {
    const { measured, summary } = await draw([GUARDED, TOLERANT], "kvm");
    expect(measured).toEqual([
      { writes: 512, bursts: 0 },
      { writes: 512, bursts: 0 },
    ]);
    expect(summary.exits.burst).toBeUndefined();
  });

  it("on a passed-through display take one request to the host for a line", async () => {
    const { text, summary } = await run(
      [GUARDED, TOLERANT],
      { driver: "vfio-pci", host: "0001:01:00.0", id: "display" },
      "soft",
      DISPLAY_TO_GIVE,
    );
    expect(text).toContain(FRAMES_PASS);
    expect(summary.devices[0]).toMatchObject({
      barWrites: [{ bar: 0, writes: 512, bursts: 64, bytes: 8192 }, { bar: 2 }],
      problems: [],
    });
  });

  it("refuse parts that do not fit the display", () => {
    for (const part of [{ bytes: 32 }, { bytes: 100 }, { bytes: 2 << 20 }, { frames: 0 }, { warmUp: -1 }]) {
      expect(() => framesProgram([{ ...GUARDED, ...part }])).toThrow(RangeError);
    }
    const many = FRAMES_DISPLAY_MEMORY / framesPartOffset(1);
    expect(() => framesProgram(new Array<FramesPart>(many + 1).fill(GUARDED))).toThrow(RangeError);
  });
});
