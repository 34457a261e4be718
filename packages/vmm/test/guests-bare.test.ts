// The bare-metal guest on the whole machine, with an emulated NVMe controller in slot 1.

import { realHost } from "@minivmm/host";
import { memoryDisk, nvme } from "@minivmm/pci/devices";
import { describe, expect, it } from "vitest";
import {
  bareDiskProgram,
  diskPattern,
  MMIO_WINDOW_32,
  MMIO_WINDOW_64,
  TCE_BENCH_DISK,
  TCE_BENCH_PASS,
  TCE_BENCH_WRITTEN,
  tceBenchProgram,
  WRITE_PATTERN,
} from "../src/guests/index.ts";
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

describe("vmm guests: mapping benchmark", () => {
  const pass = (): Uint8Array => {
    const disk = new Uint8Array(TCE_BENCH_DISK);
    disk.set(diskPattern(TCE_BENCH_WRITTEN));
    return disk;
  };
  const program = tceBenchProgram([
    { pages: 1, batches: 2, warmUp: 0 },
    { pages: 16, batches: 1, warmUp: 1 },
  ]);

  it("reads what it maps, and writes the last batch back", async () => {
    const disk = pass();
    const { console, reason } = await boot(program, disk);
    expect(console).toContain(TCE_BENCH_PASS);
    expect(reason).toBe("power-off");
    expect(Buffer.compare(disk.subarray(TCE_BENCH_WRITTEN), diskPattern(TCE_BENCH_DISK - TCE_BENCH_WRITTEN))).toBe(0);
  });

  it("finds a page that is not what it should be, in the first batch and in the last", async () => {
    for (const [at, what] of [
      [4096 * 5, "first bad page"],
      [4096 * 300 + 8, "first bad offset"],
    ] as const) {
      const disk = pass();
      disk[at]! ^= 1;
      expect((await boot(program, disk)).console).toContain(`FAIL ${what}`);
    }
  });

  it("refuses parts that cannot be", () => {
    for (const part of [
      { pages: 3, batches: 1, warmUp: 0 },
      { pages: 1024, batches: 1, warmUp: 0 },
      { pages: 1, batches: 0, warmUp: 0 },
      { pages: 1, batches: 1, warmUp: -1 },
    ]) {
      expect(() => tceBenchProgram([part])).toThrow(RangeError);
    }
  });
});
