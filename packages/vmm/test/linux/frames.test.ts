// What Linux makes of a prefetchable BAR: resource0_wc in sysfs is write-combining, resource0 is not, and user space gets what
// the file says, without a driver of its own.
import { type HostDescription, modelHost } from "@minivmm/model-host";
import { VgaDevice } from "@minivmm/pci/devices";
import { describe, expect, it } from "vitest";
import { cpioCharDevice, cpioDirectory, cpioFile, writeCpio } from "../../src/boot/index.ts";
import type { DeviceConfig } from "../../src/config.ts";
import { diskPattern, LINUX_FRAMES_WC_OFFSET, linuxFramesInit, READ_PATTERN } from "../../src/guests/index.ts";
import type { PseriesSummary } from "../../src/summary.ts";
import { createVm } from "../../src/vm.ts";

const KERNEL = process.env.MINIVMM_GUEST_KERNEL ?? "";
const MIB = 0x10_0000;
const FRAME = 64 << 10;

/** Counts writes to the two frames in its memory. */
class CountingDisplay extends VgaDevice {
  readonly guarded = { writes: 0, bursts: 0 };
  readonly combined = { writes: 0, bursts: 0 };

  override writeBar(bar: number, offset: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void {
    if (bar === 0) this.frame(offset).writes++;
    super.writeBar(bar, offset, width, lo, hi);
  }

  override writeBarBurst(bar: number, offset: number, bytes: Uint8Array): void {
    this.frame(offset).bursts++;
    super.writeBarBurst(bar, offset, bytes);
  }

  private frame(offset: number): { writes: number; bursts: number } {
    return offset < LINUX_FRAMES_WC_OFFSET ? this.guarded : this.combined;
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

/** The init looks at both frames; a display that is emulated is looked at from here, too. */
async function boot(device: DeviceConfig, accel: "soft" | "kvm" = "soft"): Promise<PseriesSummary> {
  using model = modelHost(device.driver === "vfio-pci" ? DISPLAY_TO_GIVE : "power9");
  let text = "";
  using vm = await createVm(model.spawn({ memlock: Number.POSITIVE_INFINITY }), {
    machine: "pseries",
    memoryBytes: 256 * MIB,
    kernel: { path: KERNEL },
    initrd: writeCpio([
      cpioDirectory("dev"),
      cpioCharDevice("dev/console", 5, 1),
      cpioFile("init", linuxFramesInit({ bytes: FRAME })),
    ]),
    append: "console=hvc0 rdinit=/init panic=-1 cryptomgr.notests",
    accel,
    clock: accel === "soft" ? "instructions" : "wall",
    devices: [device],
    console: {
      write: (bytes) => {
        text += new TextDecoder().decode(bytes);
      },
    },
  });
  const exit = await vm.run();
  expect(text).toContain("minivmm-init: PASS");
  expect(exit).toEqual({ status: 0, reason: "power-off" });
  return vm.summary();
}

async function bootWith(display: CountingDisplay, accel?: "kvm"): Promise<void> {
  await boot({ driver: "emulated", device: display, slot: 1 }, accel);
  for (const at of [0, LINUX_FRAMES_WC_OFFSET]) {
    const drawn = display.memory.subarray(at, at + FRAME);
    expect(Buffer.compare(drawn, diskPattern(FRAME, READ_PATTERN, at / 8)), `frame at ${at}`).toBe(0);
  }
}

/** A line that an interrupt comes across goes out in parts. */
function expectLines(count: number): void {
  expect(count).toBeGreaterThanOrEqual(FRAME / 64);
  expect(count).toBeLessThan(FRAME / 64 + 20);
}

describe("vmm: Linux on pseries with a display", () => {
  it("combines what user space stores through resource0_wc, and nothing that it stores through resource0", async () => {
    const display = new CountingDisplay();
    await bootWith(display);
    expect(display.guarded).toEqual({ writes: FRAME / 8, bursts: 0 });
    expectLines(display.combined.writes + display.combined.bursts);
  });

  it("asks the host once for each line of a display that is passed through", async () => {
    const summary = await boot({ driver: "vfio-pci", host: "0001:01:00.0", slot: 1 });
    const [memory] = summary.devices[0]!.barWrites!;
    expect(memory).toMatchObject({ bar: 0, bytes: 2 * FRAME });
    expectLines(memory!.writes + memory!.bursts - FRAME / 8);
    expect(summary.devices[0]!.problems).toEqual([]);
  });

  it("combines nothing under KVM", async () => {
    const display = new CountingDisplay();
    await bootWith(display, "kvm");
    expect(display.guarded).toEqual({ writes: FRAME / 8, bursts: 0 });
    expect(display.combined).toEqual({ writes: FRAME / 8, bursts: 0 });
  });
});
