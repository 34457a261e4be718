// The bare-metal guest on the whole machine, with an emulated NVMe controller in slot 1.

import { realHost } from "@minivmm/host";
import { memoryDisk, nvme } from "@minivmm/pci/devices";
import { describe, expect, it } from "vitest";
import { bareDiskProgram, diskPattern, MMIO_WINDOW_32, MMIO_WINDOW_64, WRITE_PATTERN } from "../src/guests/index.ts";
import { createVm } from "../src/index.ts";

const BYTES = 256 << 10;

async function boot(program: Uint8Array, disk: Uint8Array): Promise<{ console: string; reason: string }> {
  let console = "";
  const vm = await createVm(realHost(), {
    machine: "pseries",
    memoryBytes: 64 << 20,
    kernel: { bytes: program },
    devices: [{ driver: "emulated", device: nvme({ disk: memoryDisk(disk) }), slot: 1 }],
    console: { write: (bytes) => (console += new TextDecoder().decode(bytes)) },
    clock: "instructions",
  });
  try {
    const { reason } = await vm.run();
    return { console, reason };
  } finally {
    vm.close();
  }
}

function patternDisk(): Uint8Array {
  const disk = new Uint8Array(1 << 20);
  disk.set(diskPattern(BYTES));
  return disk;
}

describe("vmm guests: bare-metal NVMe program", () => {
  it.each([
    ["32-bit", MMIO_WINDOW_32],
    ["64-bit", MMIO_WINDOW_64],
  ] as const)("reads and writes through TCEs with BAR 0 in the %s window", async (_name, window) => {
    const disk = patternDisk();
    const { console, reason } = await boot(bareDiskProgram({ bytes: BYTES, ...window }), disk);
    expect(console).toBe(
      "minivmm-bare: started\npci: device 101b36, class 10802\ndisk: 2048 blocks of 2^9 bytes\n" +
        `disk: read ${BYTES} bytes, pattern ok\ndisk: wrote ${BYTES} bytes, read back ok\nminivmm-bare: PASS\n`,
    );
    expect(reason).toBe("power-off");
    expect(disk.slice(BYTES, 2 * BYTES)).toEqual(diskPattern(BYTES, WRITE_PATTERN));
  });

  it("names the first bad offset and powers off", async () => {
    const disk = patternDisk();
    disk[0x20008] = disk[0x20008]! ^ 1;
    const { console, reason } = await boot(bareDiskProgram({ bytes: BYTES }), disk);
    expect(console).toContain("minivmm-bare: FAIL first bad offset 20008\n");
    expect(reason).toBe("power-off");
  });

  it("says so when slot 1 holds no NVMe controller", async () => {
    const { console } = await boot(bareDiskProgram({ bytes: BYTES, configAddress: 0x1000 }), patternDisk());
    expect(console).toContain("minivmm-bare: FAIL not an NVMe controller, class ");
  });
});
