// Drivers that do it well, with the checker on: it says nothing, whatever the disk, the windows and the addresses, on models plugged
// in and on functions of a modelled host. And what it says of a function of that host that is used badly.

import { realHost } from "@minivmm/host";
import type { Clock } from "@minivmm/host/model";
import { type HostDescription, type ModelledHost, modelHost, modelHostDescription } from "@minivmm/model-host";
import { memoryDisk, nvme } from "@minivmm/pci/devices";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CoherencyReport } from "../src/coherency/report.ts";
import {
  type BareDiskOptions,
  bareDiskProgram,
  diskPattern,
  MMIO_WINDOW_32,
  MMIO_WINDOW_64,
} from "../src/guests/index.ts";
import { createVm, type VmConfig } from "../src/index.ts";
import { BUS, type DriverProgram, driverProgram, PAGE, RAM_BYTES, READ, WRITE } from "./coherency-program.ts";

const NVME = "0001:01:00.0";
const EDU = "0002:01:00.0";
const KIB_64 = 0x1_0000;

/** Timers are due at once. */
const AT_ONCE: Clock = {
  now: () => 0,
  after: (_, run) => {
    run();
    return { cancel: () => undefined };
  },
};

async function run(
  host: Parameters<typeof createVm>[0],
  config: Omit<VmConfig, "machine" | "memoryBytes" | "console">,
) {
  let console = "";
  using vm = await createVm(host, {
    machine: "pseries",
    memoryBytes: RAM_BYTES,
    clock: "instructions",
    coherency: {},
    ...config,
    console: { write: (bytes) => (console += new TextDecoder().decode(bytes)) },
  });
  expect((await vm.run()).reason).toBe("power-off");
  return { console, reports: vm.summary().coherency as readonly CoherencyReport[] };
}

function patternDisk(bytes: number): Uint8Array {
  const disk = new Uint8Array(1 << 20);
  disk.set(diskPattern(bytes));
  return disk;
}

/** edu of the host `power9` says No Snoop. */
function looseHost(): HostDescription {
  const description = modelHostDescription("power9");
  for (const { devices } of description.domains) {
    for (const { children = [] } of devices) {
      for (const fn of children) if (fn.model === "edu") fn.options = { ...fn.options, noSnoop: true };
    }
  }
  return description;
}

function passThrough(model: ModelledHost, bdf: string, id: string) {
  const observeDma = model.topology.watchDma.bind(model.topology);
  const process = model.spawn({ memlock: Number.POSITIVE_INFINITY });
  return {
    process,
    config: { devices: [{ driver: "vfio-pci" as const, host: bdf, id, slot: 1 }], coherency: { observeDma } },
  };
}

async function withEdu(body: (driver: DriverProgram) => unknown): Promise<readonly CoherencyReport[]> {
  using model = modelHost(looseHost(), { clock: AT_ONCE });
  const { process, config } = passThrough(model, EDU, "edu0");
  const kernel = { bytes: driverProgram((driver) => void body(driver)) };
  return (await run(process, { kernel, ...config })).reports;
}

describe("vmm coherency: a driver that does it well", () => {
  const options: fc.Arbitrary<BareDiskOptions> = fc
    .record({
      window: fc.constantFrom(MMIO_WINDOW_32, MMIO_WINDOW_64),
      requests: fc.integer({ min: 1, max: 4 }),
      memory: fc.integer({ min: 8, max: 24 }),
      dma: fc.integer({ min: 0, max: 0x3_ff00 }),
    })
    .map(({ window, requests, memory, dma }) => ({
      ...window,
      bytes: requests * KIB_64,
      memoryBase: memory << 20,
      dmaAddress: dma * 4096,
    }));

  it("is told nothing, wherever its queues, its buffers and their bus addresses are", async () => {
    await fc.assert(
      fc.asyncProperty(options, async (program) => {
        const disk = nvme({ disk: memoryDisk(patternDisk(program.bytes as number)) });
        const { console, reports } = await run(realHost(), {
          kernel: { bytes: bareDiskProgram(program) },
          devices: [{ driver: "emulated", device: disk, slot: 1 }],
        });
        expect(console).toContain("minivmm-bare: PASS");
        expect(reports).toEqual([]);
      }),
      { numRuns: 12 },
    );
  });

  it("is told nothing on a disk of a modelled host either", async () => {
    using model = modelHost("power9", { disk: patternDisk(2 * KIB_64) });
    const { process, config } = passThrough(model, NVME, "disk");
    const { console, reports } = await run(process, {
      kernel: { bytes: bareDiskProgram({ bytes: 2 * KIB_64 }) },
      ...config,
    });
    expect(console).toContain("minivmm-bare: PASS");
    expect(reports).toEqual([]);
  });
});

describe("vmm coherency: a function of a modelled host", () => {
  it("is followed like a model that is plugged in", async () => {
    const [stale, ...others] = await withEdu((driver) => {
      driver.put(BUS, PAGE, READ | WRITE);
      driver.store(PAGE, 1).dma("read", BUS, 0x80);
    });
    expect(others).toEqual([]);
    expect(stale).toMatchObject({ kind: "unflushed", device: "edu0", page: `0x${PAGE.toString(16)}` });
    const good = await withEdu((driver) => {
      driver.put(BUS, PAGE, READ | WRITE);
      driver.store(PAGE, 1).flush("dcbf", PAGE, 8).sync().dma("read", BUS, 0x80);
      driver.dma("write", BUS, 0x80);
      driver.flush("dcbf", PAGE, 8).sync().load(PAGE);
    });
    expect(good).toEqual([]);
  });

  it("uses a page that was taken out: it is named before the host freezes the endpoint", async () => {
    let taken = 0n;
    const [report, ...others] = await withEdu((driver) => {
      driver.put(BUS, PAGE, READ | WRITE);
      driver.dma("write", BUS, 16);
      taken = driver.clear(BUS, 1);
      driver.dma("write", BUS, 16);
    });
    expect(others).toEqual([]);
    expect(report?.kind).toBe("unmapped");
    expect(report?.mapping).toBe(`guest page 0x${PAGE.toString(16)} until H_STUFF_TCE at 0x${taken.toString(16)}`);
  });

  it("is not followed once the machine is closed", async () => {
    using model = modelHost("power9");
    const { process, config } = passThrough(model, NVME, "disk");
    const vm = await createVm(process, {
      machine: "pseries",
      memoryBytes: RAM_BYTES,
      kernel: { bytes: bareDiskProgram() },
      console: { write: () => undefined },
      ...config,
    });
    const { functions } = model.topology;
    expect(functions.every(({ dmaWatch }) => dmaWatch !== null)).toBe(true);
    vm.close();
    expect(functions.every(({ dmaWatch }) => dmaWatch === null)).toBe(true);
  });
});
