// What the checker of DMA remembers of pages that were taken out, against a plain list; whole windows that go, and devices of the
// VIO bus.
import { GuestMemory, realHost } from "@minivmm/host";
import type { DmaPort } from "@minivmm/pci";
import { edu, memoryDisk } from "@minivmm/pci/devices";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bareSettings, MMIO_WINDOW_32 } from "../src/guests/bare-layout.ts";
import { callRtas } from "../src/guests/bare-platform.ts";
import { createVm } from "../src/index.ts";
import { type GuestCall, RANGES_MAX, UnmappedRanges } from "../src/machines/pseries/coherency/unmapped.ts";
import { TceTables } from "../src/machines/pseries/iommu.ts";
import { RTAS_IBM_REMOVE_PE_DMA_WINDOW } from "../src/machines/pseries/rtas/tokens.ts";
import type { SpaprTceTable } from "../src/machines/pseries/tce-table.ts";
import { VioBus } from "../src/machines/pseries/vio/bus.ts";
import { plugVscsi } from "../src/machines/pseries/vio/vscsi/config.ts";
import { Xics } from "../src/machines/pseries/xics.ts";
import { BUS, driverProgram, LIOBN, PAGE, RAM_BYTES, READ } from "./coherency-program.ts";

const ENTRIES = 64;

function table(liobn: number, busHi: number, pageShift: number): SpaprTceTable {
  const tables = new TceTables();
  tables.add({ liobn, pageShift, busHi, busLo: 0, entries: ENTRIES });
  return tables.find(liobn) as SpaprTceTable;
}

describe("vmm coherency: pages that were taken out", () => {
  it("the last call that took a page out is found, among those that are kept", () => {
    const windows = [table(1, 0, 12), table(2, 0x800_0000, 16)];
    const act = fc.record({ window: fc.nat(1), index: fc.nat(ENTRIES - 1), sameCall: fc.boolean() });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60, size: "max" }), (acts) => {
        const ranges = new UnmappedRanges();
        const plain = new Map<string, { call: GuestCall; lo: number }>();
        let call: GuestCall = { name: "first", pc: 0n };
        acts.forEach(({ window, index, sameCall }, n) => {
          if (!sameCall) call = { name: `call ${n}`, pc: BigInt(n) };
          ranges.add(windows[window] as SpaprTceTable, index, n, n * 16, call);
          plain.set(`${window} ${index}`, { call, lo: n * 16 });
        });
        windows.forEach(({ liobn, pageBytes, busHi }, window) => {
          for (let index = 0; index < ENTRIES; index++) {
            const found = ranges.find([liobn], busHi, index * pageBytes + 5);
            const known = plain.get(`${window} ${index}`);
            expect(found && { call: found.call, lo: found.lo }).toEqual(known);
          }
        });
      }),
    );
  });

  it("keeps a bounded number of runs, and pages in a row as one", () => {
    const [window] = [table(1, 0, 12)];
    const ranges = new UnmappedRanges();
    const many: GuestCall = { name: "many", pc: 1n };
    for (let index = 0; index < ENTRIES; index++) ranges.add(window, index, 0, index * 4096 + 3, many);
    const single = (n: number): GuestCall => ({ name: `single ${n}`, pc: 2n });
    for (let n = 0; n < RANGES_MAX - 1; n++) ranges.add(window, 0, 0, 3, single(n));
    expect(ranges.find([1], 0, 63 * 4096)?.call).toBe(many);
    ranges.add(window, 0, 0, 3, single(RANGES_MAX));
    expect(ranges.find([1], 0, 63 * 4096)).toBeUndefined();
    expect(ranges.find([1], 0, 0)?.call.name).toBe(`single ${RANGES_MAX}`);
    expect(ranges.find([2], 0, 0)).toBeUndefined();
    expect(ranges.find([1], 1, 0)).toBeUndefined();
  });

  it("a window that goes takes its pages with it", async () => {
    const after = (_: number, run: () => void) => {
      run();
      return { cancel: () => undefined };
    };
    const kernel = driverProgram((driver) => {
      driver.put(BUS, PAGE, READ);
      driver.dma("read", BUS, 16);
      callRtas(driver.code, bareSettings(MMIO_WINDOW_32), RTAS_IBM_REMOVE_PE_DMA_WINDOW, [LIOBN], 1);
      driver.dma("read", BUS, 16);
      driver.dma("read", BUS + 0x1000, 16);
    });
    using vm = await createVm(realHost(), {
      machine: "pseries",
      memoryBytes: RAM_BYTES,
      kernel: { bytes: kernel },
      devices: [{ driver: "emulated", id: "edu0", slot: 1, device: edu({ after, dmaBits: 64 }) }],
      console: { write: () => undefined },
      clock: "instructions",
      coherency: {},
    });
    await vm.run();
    expect(vm.summary().coherency).toMatchObject([
      { kind: "unmapped", mapping: expect.stringMatching(/^guest page 0x1100000 until RTAS at 0x4[0-9a-f]+$/) },
      { kind: "outside", mapping: "nothing: the device has no window" },
    ]);
  });

  it("devices of the VIO bus are looked at as well, each through its own window", () => {
    const seen: [string, readonly number[]][] = [];
    const ram = new GuestMemory(new ArrayBuffer(4096), 0, 4096);
    const platform = {
      ram,
      tables: new TceTables(),
      xics: new Xics(),
      guard: (device: string, dma: DmaPort, liobns: readonly number[]) => {
        seen.push([device, liobns]);
        return dma;
      },
    };
    plugVscsi(new VioBus(), platform, "scsi0", { driver: "spapr-vscsi", disks: [{ disk: memoryDisk(512) }] });
    expect(seen).toEqual([["scsi0", [0x7100_0000 + 1]]]);
  });
});
