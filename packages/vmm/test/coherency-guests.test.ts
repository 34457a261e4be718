// The checker of DMA on machine pseries: drivers that make one mistake each, and their twins that do not make it.
import { realHost } from "@minivmm/host";
import { type EduOptions, edu } from "@minivmm/pci/devices";
import { describe, expect, it } from "vitest";
import type { PseriesCoherencyConfig } from "../src/coherency/config.ts";
import type { CoherencyReport } from "../src/coherency/report.ts";
import type { RadixMapping } from "../src/guests/bare-radix.ts";
import { createVm, type DeviceConfig } from "../src/index.ts";
import { BUS, type DriverProgram, driverProgram, LIOBN, PAGE, RAM_BYTES, READ, WRITE } from "./coherency-program.ts";

const BOTH = READ | WRITE;
const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** edu, done with a transfer as soon as it is asked for. */
function eduNow(options: EduOptions = {}): DeviceConfig {
  const after = (_: number, run: () => void) => {
    run();
    return { cancel: () => undefined };
  };
  return { driver: "emulated", id: "edu0", slot: 1, device: edu({ noSnoop: true, dmaBits: 64, after, ...options }) };
}

interface Ran {
  readonly reports: readonly CoherencyReport[];
  readonly dropped: number;
  /** First occurrences, as they were told. */
  readonly told: readonly CoherencyReport[];
}

interface RunOptions {
  readonly coherency?: PseriesCoherencyConfig;
  readonly edu?: EduOptions;
  readonly mappings?: readonly RadixMapping[];
}

async function run(body: (program: DriverProgram) => void, options: RunOptions = {}): Promise<Ran> {
  const told: CoherencyReport[] = [];
  let console = "";
  using vm = await createVm(realHost(), {
    machine: "pseries",
    memoryBytes: RAM_BYTES,
    kernel: { bytes: driverProgram(body, options.mappings) },
    devices: [eduNow(options.edu)],
    console: { write: (bytes) => (console += new TextDecoder().decode(bytes)) },
    clock: "instructions",
    coherency: { report: (report) => told.push(report), ...options.coherency },
  });
  expect((await vm.run()).reason).toBe("power-off");
  expect(console).toBe("done\n");
  const { coherency = [], coherencyDropped = -1 } = vm.summary();
  return { reports: coherency, dropped: coherencyDropped, told };
}

/** The one mistake of a program, whose body returns the address where it shows. */
async function mistake(body: (program: DriverProgram) => bigint, options?: RunOptions): Promise<CoherencyReport> {
  let pc = -1n;
  const { reports, told, dropped } = await run((program) => {
    pc = body(program);
  }, options);
  expect(reports).toHaveLength(1);
  const [report] = reports as [CoherencyReport];
  expect(report).toMatchObject({ device: "edu0", pc: hex(pc) });
  expect(told).toEqual([{ ...report, count: 1 }]);
  expect(dropped).toBe(0);
  return report;
}

async function nothing(body: (program: DriverProgram) => unknown, options?: RunOptions): Promise<void> {
  const ran = await run((program) => {
    body(program);
  }, options);
  expect(ran).toEqual({ reports: [], told: [], dropped: 0 });
}

describe("vmm coherency: DMA that does not snoop", () => {
  it("reads what is still in the cache, unless it was flushed and waited for", async () => {
    const report = await mistake((driver) => {
      driver.put(BUS, PAGE, READ);
      driver
        .store(PAGE + 8, 1)
        .store(PAGE + 0x200, 2)
        .sync();
      return driver.dma("read", BUS, 0x300);
    });
    expect(report).toMatchObject({
      kind: "unflushed",
      access: "read",
      busAddress: hex(BUS),
      page: hex(PAGE),
      mapping: `guest page ${hex(PAGE)}, to read`,
      missing: "dcbf or dcbst, and hwsync, of 2 of 6 blocks that the CPU has written",
      count: 1,
    });
    for (const kind of ["dcbst", "dcbf"] as const) {
      await nothing((driver) => {
        driver.put(BUS, PAGE, READ);
        driver
          .store(PAGE + 8, 1)
          .store(PAGE + 0x200, 2)
          .flush(kind, PAGE, 0x300)
          .sync();
        driver.dma("read", BUS, 0x300);
      });
    }
  });

  it("does not see a flush that no hwsync waited for, nor what is stored after it", async () => {
    for (const wait of ["lwsync", undefined] as const) {
      const { missing } = await mistake((driver) => {
        driver.put(BUS, PAGE, READ);
        driver.store(PAGE, 1).flush("dcbst", PAGE, 8);
        if (wait !== undefined) driver.sync(wait);
        return driver.dma("read", BUS, 64);
      });
      expect(missing).toBe("hwsync after the flush of 1 of 1 blocks");
    }
    const { missing } = await mistake((driver) => {
      driver.put(BUS, PAGE, READ);
      driver
        .store(PAGE, 1)
        .flush("dcbst", PAGE, 8)
        .store(PAGE + 8, 2)
        .sync();
      return driver.dma("read", BUS, 64);
    });
    expect(missing).toBe("dcbf or dcbst, and hwsync, of 1 of 1 blocks that the CPU has written");
  });

  it("is told of what it reads only: other blocks of the page may wait", async () => {
    await nothing((driver) => {
      driver.put(BUS, PAGE, READ);
      driver
        .store(PAGE, 1)
        .store(PAGE + 0x100, 2)
        .flush("dcbst", PAGE, 8)
        .sync();
      driver.dma("read", BUS, 0x100);
    });
  });

  it("writes below what the cache will write back over it", async () => {
    const report = await mistake((driver) => {
      driver.put(BUS, PAGE, BOTH);
      driver.store(PAGE + 0x40, 1);
      return driver.dma("write", BUS, 0x40);
    });
    expect(report).toMatchObject({ kind: "unflushed", access: "write", page: hex(PAGE) });
    await nothing((driver) => {
      driver.put(BUS, PAGE, BOTH);
      driver
        .store(PAGE + 0x40, 1)
        .flush("dcbf", PAGE, 0x80)
        .sync();
      driver.dma("write", BUS, 0x40);
    });
  });

  it("writes what the CPU then does not load, unless it has invalidated the block", async () => {
    const report = await mistake((driver) => {
      driver.put(BUS, PAGE, WRITE);
      driver.load(PAGE);
      driver.dma("write", BUS + 0x40, 0x40);
      return driver.load(PAGE + 0x78);
    });
    expect(report).toMatchObject({
      kind: "not-invalidated",
      access: "write",
      busAddress: hex(BUS + 0x40),
      page: hex(PAGE),
      mapping: `guest page ${hex(PAGE)}, of which the CPU loads ${hex(PAGE + 0x78)} in its cache`,
      missing: "dcbf of what the device has written, before it is used",
    });
    // After it, before it when nobody uses the block meanwhile, and where nobody ever has.
    await nothing((driver) => {
      driver.put(BUS, PAGE, WRITE);
      driver.load(PAGE);
      driver.dma("write", BUS, 0x80);
      driver.flush("dcbf", PAGE, 8).sync().load(PAGE);
    });
    await nothing((driver) => {
      driver.put(BUS, PAGE, WRITE);
      driver.load(PAGE);
      driver.flush("dcbf", PAGE, 8).sync().dma("write", BUS, 0x80);
      driver.load(PAGE);
    });
    await nothing((driver) => {
      driver.put(BUS, PAGE, WRITE);
      driver.dma("write", BUS, 0x80);
      driver.load(PAGE);
    });
  });

  it("is not what a device does that may not, nor one behind an IOMMU that enforces snooping", async () => {
    const body = (driver: DriverProgram): void => {
      driver.put(BUS, PAGE, BOTH);
      driver.store(PAGE, 1).dma("read", BUS, 0x80);
      driver.dma("write", BUS, 0x80);
      driver.load(PAGE);
    };
    await nothing((driver) => {
      driver.forbidNoSnoop();
      body(driver);
    });
    await nothing(body, { coherency: { snoopControl: true } });
    await nothing(body, { edu: { noSnoop: false } });
    expect((await run(body)).reports.map(({ kind, access }) => [kind, access])).toEqual([
      ["unflushed", "read"],
      ["unflushed", "write"],
      ["not-invalidated", "write"],
    ]);
  });

  it("has nothing to miss where the guest's mapping bypasses the cache", async () => {
    const window = 0x2_0000_0000;
    const offset = PAGE % 0x20_0000;
    for (const attribute of ["non-idempotent", "tolerant"] as const) {
      const mappings = [{ effective: window, real: PAGE - offset, bytes: 0x20_0000, attribute }];
      await nothing(
        (driver) => {
          driver.put(BUS, PAGE, BOTH);
          driver.store(window + offset, 1).dma("read", BUS, 0x80);
          driver.dma("write", BUS, 0x80);
          driver.load(window + offset);
        },
        { mappings },
      );
      // The same page through both mappings: what the cached one wrote has not left the cache.
      const report = await mistake(
        (driver) => {
          driver.put(BUS, PAGE, READ);
          driver.store(window + offset, 1).store(PAGE + 8, 2);
          return driver.dma("read", BUS, 0x80);
        },
        { mappings },
      );
      expect(report.kind).toBe("unflushed");
    }
  });
});

describe("vmm coherency: DMA windows", () => {
  it("a page that was taken out is named with the call that did it", async () => {
    for (const [name, take] of [
      ["H_PUT_TCE", (driver: DriverProgram) => driver.put(BUS + 0x1000, 0, 0)],
      ["H_STUFF_TCE", (driver: DriverProgram) => driver.clear(BUS, 2)],
    ] as const) {
      let taken = 0n;
      const report = await mistake((driver) => {
        driver.put(BUS, PAGE, BOTH);
        driver.put(BUS + 0x1000, PAGE + 0x5000, BOTH);
        driver.dma("write", BUS + 0x1000, 0x40);
        taken = take(driver);
        return driver.dma("write", BUS + 0x1040, 0x40);
      });
      expect(report).toMatchObject({
        kind: "unmapped",
        access: "write",
        busAddress: hex(BUS + 0x1040),
        page: hex(PAGE + 0x5000),
        mapping: `guest page ${hex(PAGE + 0x5000)} until ${name} at ${hex(taken)}`,
      });
      await nothing((driver) => {
        driver.put(BUS, PAGE, BOTH);
        driver.put(BUS + 0x1000, PAGE + 0x5000, BOTH);
        driver.dma("write", BUS + 0x1000, 0x40);
        take(driver);
        driver.put(BUS + 0x1000, PAGE + 0x6000, BOTH);
        driver.dma("write", BUS + 0x1040, 0x40);
      });
    }
  });

  it("tells pages that were never mapped, mapped for the other direction, outside of windows, and not of RAM", async () => {
    const cases: readonly [string, (driver: DriverProgram) => bigint, Partial<CoherencyReport>][] = [
      [
        "not-mapped",
        (driver) => driver.dma("read", BUS, 16),
        { page: null, mapping: `nothing, in window ${hex(LIOBN)}`, access: "read" },
      ],
      [
        "permission",
        (driver) => {
          driver.put(BUS, PAGE, READ);
          return driver.dma("write", BUS, 16);
        },
        { mapping: `guest page ${hex(PAGE)}, to read`, missing: "permission for the device to write" },
      ],
      [
        "outside",
        (driver) => driver.dma("read", 0x4000_0000, 16),
        { busAddress: "0x40000000", page: null, mapping: "nothing: windows are 0x0 to 0x40000000" },
      ],
      [
        "outside",
        (driver) => {
          driver.put(BUS, RAM_BYTES, BOTH);
          return driver.dma("read", BUS, 16);
        },
        { page: hex(RAM_BYTES), mapping: `guest page ${hex(RAM_BYTES)}, to read and write, which is no RAM` },
      ],
    ];
    for (const [kind, body, facts] of cases) expect(await mistake(body)).toMatchObject({ kind, ...facts });
  });

  it("a request that crosses into a page that is not mapped is one mistake, there", async () => {
    const report = await mistake((driver) => {
      driver.put(BUS, PAGE, BOTH);
      return driver.dma("read", BUS + 0xf00, 0x200);
    });
    expect(report).toMatchObject({ kind: "not-mapped", busAddress: hex(BUS + 0x1000) });
    await nothing((driver) => {
      driver.put(BUS, PAGE, BOTH);
      driver.put(BUS + 0x1000, PAGE + 0x1000, BOTH);
      driver.dma("read", BUS + 0xf00, 0x200);
    });
  });

  it("counts a mistake that is made again, and keeps the list short", async () => {
    const { reports, told } = await run((driver) => {
      for (let n = 0; n < 3; n++) driver.dma("read", BUS + 16 * n, 16);
      driver.dma("read", BUS + 0x1000, 16);
    });
    expect(reports.map(({ busAddress, count }) => [busAddress, count])).toEqual([
      [hex(BUS), 3],
      [hex(BUS + 0x1000), 1],
    ]);
    expect(told).toHaveLength(2);
    const many = await run((driver) => {
      for (let n = 0; n < 70; n++) driver.dma("read", BUS + 0x1000 * n, 16);
    });
    expect([many.reports.length, many.told.length, many.dropped]).toEqual([64, 64, 6]);
  });
});

describe("vmm coherency: off", () => {
  it("says nothing, and is refused where the CPU is KVM's", async () => {
    using vm = await createVm(realHost(), {
      machine: "pseries",
      memoryBytes: RAM_BYTES,
      kernel: { bytes: driverProgram((driver) => void driver.dma("read", BUS, 16)) },
      devices: [eduNow()],
      console: { write: () => undefined },
      clock: "instructions",
    });
    await vm.run();
    expect(vm.summary()).not.toHaveProperty("coherency");
    const kvm = createVm(realHost(), {
      machine: "pseries",
      memoryBytes: RAM_BYTES,
      kernel: { bytes: driverProgram(() => undefined) },
      console: { write: () => undefined },
      accel: "kvm",
      coherency: {},
    });
    await expect(kvm).rejects.toMatchObject({ code: "USAGE_CONFIG" });
  });
});
