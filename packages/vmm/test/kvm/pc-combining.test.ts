// Write-combining on the real KVM: a guest maps the memory of a display uncached and write-combining, writes a page of it, and
// reads it back. KVM keeps the combined stores; the model gets bursts, and the bytes are the same.
import { al, cr3, dword, eax, ecx, edx, mem, qword, rax, rbx, rcx, rdi, rsi } from "@minivmm/x86asm";
import { describe, expect, it } from "vitest";
import { PcProgram } from "../../src/guests/pc-program.ts";
import type { PcSummary } from "../../src/summary.ts";
import { startGuest } from "./x86-guest.ts";

/** Where firmware puts the only memory BAR of its size, and the linear address that the guest shows it at. */
const BAR = 0xc000_0000;
const WINDOW = 0x1_0000_0000;
const PML4 = 0x9000;
const OWN_PDPT_ENTRY = 4;
const [OWN_PD, OWN_PT] = [0x30_0000, 0x30_1000];
const PWT = 8;
const PCD = 0x10;
const PAT_MSR = 0x277;
const PAGE = 4096;
/** Stores before the mapping is looked up. */
const LOOK = 8;

/** `attributes` of the 16 pages at WINDOW; PAT entry 1 (PWT) becomes write-combining as Linux has it. */
function mapBar(guest: PcProgram, attributes: number): void {
  guest.mov(ecx, PAT_MSR);
  guest.mov(eax, 0x0007_0106);
  guest.mov(edx, 0x0407_0506);
  guest.wrmsr();
  guest.mov(rdi, OWN_PT);
  for (let page = 0; page < 16; page++) {
    guest.mov(rax, BAR + page * PAGE + 3 + attributes);
    guest.mov(qword(rdi, page * 8), rax);
  }
  guest.mov(rdi, OWN_PD);
  guest.mov(qword(rdi), OWN_PT | 3);
  // The loader's table of the lowest 512 GiB, whose fifth GiB is free.
  guest.mov(rdi, PML4);
  guest.mov(rdi, mem(rdi));
  guest.and(rdi, -PAGE);
  guest.mov(qword(rdi, OWN_PDPT_ENTRY * 8), OWN_PD | 3);
  // And the loader's own mapping of the BAR goes, as it does under an operating system.
  guest.mov(qword(rdi, Math.floor(BAR / 2 ** 30) * 8), 0);
  guest.mov(rax, cr3);
  guest.mov(cr3, rax);
}

/** Fills `bytes` from WINDOW on with stores of 8 bytes, each with its own offset as value. */
function fill(guest: PcProgram, bytes: number, name: string): void {
  guest.mov(rbx, WINDOW);
  guest.xor(ecx, ecx);
  guest.label(name);
  guest.mov(mem(rbx, 0, rcx, 1), rcx);
  guest.add(rcx, 8);
  guest.cmp(rcx, bytes);
  guest.jne(name);
}

/** Says ok when the words are those that were stored. */
function check(guest: PcProgram, bytes: number): void {
  guest.mov(rbx, WINDOW);
  guest.xor(ecx, ecx);
  guest.label("compare");
  guest.mov(rsi, mem(rbx, 0, rcx, 1));
  guest.cmp(rsi, rcx);
  guest.jne("wrong");
  guest.add(rcx, 8);
  guest.cmp(rcx, bytes);
  guest.jne("compare");
  guest.print("ok\n");
  guest.powerOff();
  guest.label("wrong");
  guest.print("wrong\n");
  guest.powerOff();
}

async function run(build: (guest: PcProgram) => void): Promise<{ output: string; summary: PcSummary }> {
  const guest = new PcProgram();
  build(guest);
  const { vm, exit, output } = await startGuest(guest, { platform: { models: ["vga"] } });
  await exit();
  return { output: output(), summary: vm.summary() };
}

describe("pc on KVM: write-combining", () => {
  it("makes bursts of a line each out of stores to a write-combining mapping, with the same bytes", async () => {
    const { output, summary } = await run((guest) => {
      mapBar(guest, PWT);
      fill(guest, 2 * PAGE, "again");
      check(guest, 2 * PAGE);
    });
    expect(output).toBe("ok\n");
    const { stores, bursts, bytes } = summary.combined!;
    // All but the stores after which the mapping is looked up, and one each time that KVM's ring is full.
    const all = (2 * PAGE) / 8;
    const single = all - stores;
    expect(single).toBeGreaterThanOrEqual(LOOK);
    expect(single).toBeLessThanOrEqual(LOOK + all / 100);
    expect(bytes).toBe(stores * 8);
    expect(bursts).toBeLessThanOrEqual(all / 8 + 2 * (single - LOOK) + 1);
  });

  it("leaves stores to an uncached mapping one by one", async () => {
    const { output, summary } = await run((guest) => {
      mapBar(guest, PCD);
      fill(guest, PAGE, "again");
      check(guest, PAGE);
    });
    expect(output).toBe("ok\n");
    expect(summary.combined).toEqual({ stores: 0, bursts: 0, bytes: 0 });
    expect(summary.exits.memory).toBeGreaterThanOrEqual(2 * (PAGE / 8));
  });

  it("keeps the order: a later store wins, and a load sees what was stored before it", async () => {
    const { output } = await run((guest) => {
      mapBar(guest, PWT);
      fill(guest, PAGE, "again");
      guest.mov(rbx, WINDOW);
      guest.mov(dword(rbx, 0x100), 0x1111_1111);
      guest.mov(dword(rbx, 0x102), 0x2222_2222);
      guest.mov(eax, mem(rbx, 0x100));
      guest.cmp(eax, 0x2222_1111);
      guest.jne("bad");
      guest.mov(al, 0x33);
      guest.mov(mem(rbx, 0x101), al);
      guest.mov(eax, mem(rbx, 0x100));
      guest.cmp(eax, 0x2222_3311);
      guest.jne("bad");
      guest.print("ordered\n");
      guest.powerOff();
      guest.label("bad");
      guest.print("bad\n");
      guest.powerOff();
    });
    expect(output).toBe("ordered\n");
  });

  it("hands on what waits while the guest does nothing more", async () => {
    const guest = new PcProgram();
    mapBar(guest, PWT);
    fill(guest, PAGE, "again");
    guest.print("filled\n");
    guest.mov(rbx, WINDOW);
    guest.mov(qword(rbx), 1);
    guest.spin();
    const { vm, exit, said } = await startGuest(guest, { platform: { models: ["vga"] } });
    const end = exit();
    await said("filled");
    await new Promise((resolve) => setTimeout(resolve, 200));
    const told = await vm.attributes();
    vm.stop();
    await end;
    const { stores = 0, bytes } = vm.summary().combined ?? {};
    expect(told.combined).toEqual(vm.summary().combined);
    expect(told.bars[0]).toMatchObject({ device: "vga", index: 0, address: BAR, prefetchable: true, burstable: true });
    expect(told.bars[0]?.writes?.bursts).toBeGreaterThan(0);
    expect(stores).toBeGreaterThan(PAGE / 8 - LOOK - 10);
    expect(bytes).toBe(stores * 8);
  });
});
