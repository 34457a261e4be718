// The checker of DMA on machine pc, on a modelled host and on models that are plugged in: what reaches no RAM is reported, and
// nothing else is.
import { edu } from "@minivmm/pci/devices";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PcBox } from "../src/accel/x86/box.ts";
import { CoherencyLog, type CoherencyReport } from "../src/coherency/report.ts";
import { PcDmaCheck } from "../src/machines/pc/dma-check.ts";
import { HIGH_RAM_START, LOW_RAM_END } from "../src/machines/pc/memory-map.ts";
import { PcRam, ramDma } from "../src/machines/pc/ram.ts";
import { allocateRam } from "../src/machines/pc/shared-ram.ts";
import { Timeline } from "../src/summary.ts";
import { spawn, stillHost } from "./pc-bench.ts";

const NVME = "0000:02:00.0";
const RAM_BYTES = 2 << 20;
const ECAM = 0xe000_0000;
const DISK_ECAM = ECAM + (1 << 15);
const EDU_ECAM = ECAM + (2 << 15);

function checkedBox() {
  const { model } = stillHost("desktop");
  const process = spawn(model);
  const told: CoherencyReport[] = [];
  const log = new CoherencyLog((report) => told.push(report));
  const after = (_: number, run: () => void) => {
    run();
    return { cancel: () => undefined };
  };
  const box = new PcBox({
    kvmHost: process,
    deviceHost: process,
    devices: [
      { driver: "vfio-pci", host: NVME, id: "disk", slot: 1 },
      { driver: "emulated", device: edu({ after, dmaBits: 64 }), id: "edu0", slot: 2 },
    ],
    ram: new PcRam(allocateRam(RAM_BYTES)),
    cpus: 1,
    console: { write: () => undefined },
    timeline: new Timeline(() => 0),
    watch: (fd, onReadable) => process.watch(fd, onReadable),
    check: { log, observeDma: (watch) => model.topology.watchDma(watch) },
  });
  const { machine } = box;
  const out = new Uint32Array(2);
  const read = (at: number): number => {
    machine.readMemory(at, 4, out);
    return out[0]!;
  };
  const write = (at: number, value: number): void => machine.writeMemory(at, 4, value >>> 0, 0);
  for (const function_ of [DISK_ECAM, EDU_ECAM]) write(function_ + 4, read(function_ + 4) | 6);
  return {
    box,
    model,
    log,
    told,
    write,
    disk: (read(DISK_ECAM + 0x10) & ~0xf) >>> 0,
    edu: (read(EDU_ECAM + 0x10) & ~0xf) >>> 0,
    [Symbol.dispose]: () => {
      box.close();
      model.close();
    },
  };
}

/** edu copies from memory. */
function eduReads({ write, edu: bar }: ReturnType<typeof checkedBox>, from: number, length: number): void {
  for (const [register, value] of [
    [0x80, from],
    [0x88, 0x4_0000],
    [0x90, length],
    [0x98, 1],
  ] as const) {
    write(bar + register, value);
  }
}

describe("pc dma check", () => {
  it("reports a model whose request reaches no RAM, from where on", () => {
    using checked = checkedBox();
    eduReads(checked, 0x1000, 64);
    expect(checked.log.summary().coherency).toEqual([]);
    eduReads(checked, RAM_BYTES - 32, 64);
    const { coherency } = checked.log.summary();
    expect(coherency).toEqual([
      {
        kind: "outside",
        device: "edu0",
        access: "read",
        busAddress: `0x${RAM_BYTES.toString(16)}`,
        page: null,
        // A modelled KVM has no CPU that could be asked.
        pc: null,
        mapping: `nothing: RAM is 0x0 to 0x${RAM_BYTES.toString(16)}`,
        missing: "an address of RAM",
        count: 1,
      },
    ]);
    expect(checked.told).toEqual(coherency);
  });

  it("reports a function of a modelled host by the name that the user gave it, until the machine is closed", () => {
    using checked = checkedBox();
    const { write, disk, box, model } = checked;
    // Admin queues outside of RAM, and the controller fetches its first command.
    write(disk + 0x24, 0x000f_000f);
    write(disk + 0x28, RAM_BYTES);
    write(disk + 0x30, RAM_BYTES + 0x1000);
    write(disk + 0x14, 0x0046_0001);
    write(disk + 0x1000, 1);
    expect(checked.told.map(({ device, kind, access, busAddress }) => [device, kind, access, busAddress])).toEqual([
      ["disk", "outside", "read", `0x${RAM_BYTES.toString(16)}`],
    ]);
    box.close();
    expect(model.topology.functions.every(({ dmaWatch }) => dmaWatch === null)).toBe(true);
  });

  it("reports exactly what is refused, wherever RAM ends", () => {
    const buffer = new SharedArrayBuffer(3 * 4096);
    const part = (bytes: number): SharedArrayBuffer => buffer.slice(0, bytes);
    const ram = new PcRam({
      pieces: [
        { start: 0, buffer: part(4096) },
        { start: HIGH_RAM_START, buffer: part(8192) },
      ],
    });
    const around = fc.constantFrom(0, 4096, LOW_RAM_END, HIGH_RAM_START, HIGH_RAM_START + 8192, 2 ** 52, 2 ** 60);
    const extent = fc.tuple(around, fc.integer({ min: -64, max: 64 }), fc.integer({ min: 1, max: 128 }), fc.boolean());
    fc.assert(
      fc.property(extent, ([base, offset, length, write]) => {
        const at = Math.max(base + (base < 2 ** 53 ? offset : 0), 0);
        const [hi, lo] = [Math.floor(at / 2 ** 32), at % 2 ** 32];
        const log = new CoherencyLog();
        const dma = new PcDmaCheck({ ram, log, pc: () => 0x1234n }).guard("x", ramDma(ram));
        const done = write ? dma.write(hi, lo, new Uint8Array(length)) : dma.read(hi, lo, new Uint8Array(length));
        const { coherency } = log.summary();
        expect(coherency).toHaveLength(done ? 0 : 1);
        if (!done)
          expect(coherency[0]).toMatchObject({ kind: "outside", access: write ? "write" : "read", pc: "0x1234" });
      }),
    );
  });
});
