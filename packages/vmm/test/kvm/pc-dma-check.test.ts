// The checker of DMA on the real KVM: a guest gives a device an address that is no RAM, and is told where it was.
import { al, ax, dx, eax, mem, rax, rbx } from "@minivmm/x86asm";
import { describe, expect, it } from "vitest";
import type { CoherencyReport } from "../../src/coherency/report.ts";
import { PC_PROGRAM_ADDRESS, PcProgram } from "../../src/guests/pc-program.ts";
import { PORT_PCI_ADDRESS, PORT_PCI_DATA } from "../../src/machines/pc/memory-map.ts";
import { startGuest } from "./x86-guest.ts";

const SLOT = 1;
/** Where firmware puts the only memory BAR. */
const BAR = 0xc000_0000;
const RAM_BYTES = 32 * 2 ** 20;
const DMA_SOURCE = 0x80;
const DMA_DESTINATION = 0x88;
const DMA_COUNT = 0x90;
const DMA_COMMAND = 0x98;
const EDU_BUFFER = 0x4_0000;

/** edu reads 16 bytes of memory; the program waits for it and ends. */
function eduReads(from: number): PcProgram {
  const guest = new PcProgram();
  guest.mov(eax, (0x8000_0004 | (SLOT << 11)) >>> 0);
  guest.mov(dx, PORT_PCI_ADDRESS);
  guest.out(dx, eax);
  guest.mov(dx, PORT_PCI_DATA);
  guest.mov(ax, 6);
  guest.out(dx, ax);
  guest.mov(rbx, BAR);
  for (const [register, value] of [
    [DMA_SOURCE, from],
    [DMA_DESTINATION, EDU_BUFFER],
    [DMA_COUNT, 16],
    [DMA_COMMAND, 1],
  ] as const) {
    guest.mov(rax, value);
    guest.mov(mem(rbx, register), rax);
  }
  guest.label("wait");
  guest.mov(rax, mem(rbx, DMA_COMMAND));
  guest.test(al, 1);
  guest.jne("wait");
  guest.print("done\n");
  guest.powerOff();
  return guest;
}

async function run(from: number) {
  const told: CoherencyReport[] = [];
  const { vm, exit, output } = await startGuest(eduReads(from), {
    platform: { models: ["edu"] },
    coherency: { report: (report) => told.push(report) },
  });
  await exit();
  expect(output()).toBe("done\n");
  return { told, summary: vm.summary() };
}

describe("pc on KVM: dma check", () => {
  it("names the device, the address and the guest's instruction, once", async () => {
    const { told, summary } = await run(RAM_BYTES);
    expect(summary.coherency).toEqual(told);
    expect(told).toMatchObject([
      { kind: "outside", device: "edu", busAddress: `0x${RAM_BYTES.toString(16)}`, count: 1 },
    ]);
    const pc = Number(told[0]?.pc);
    expect(pc).toBeGreaterThan(PC_PROGRAM_ADDRESS);
    expect(pc).toBeLessThan(PC_PROGRAM_ADDRESS + 0x400);
  });

  it("says nothing of a driver that does it well", async () => {
    const { told, summary } = await run(0x20_0000);
    expect(told).toEqual([]);
    expect(summary).toMatchObject({ coherency: [], coherencyDropped: 0 });
  });
});
