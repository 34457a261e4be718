// Writes of a guest that need no exit: doorbells (ioeventfd) and collected writes (coalesced MMIO).
import { EEXIST, ENOENT } from "@minivmm/host";
import { Assembler, al, ax, byte, dword, dx, mem, rbx } from "@minivmm/x86asm";
import { afterEach, describe, expect, it } from "vitest";
import type { IoEventFd } from "../../src/index.ts";
import { done, OK, PROGRAM, X86Guest } from "../support/x86-guest.ts";

const PORT = 0x500;
const MEMORY = 0xd000_0000;

let guest: X86Guest;
afterEach(() => guest.close());

function start(emit: (a: Assembler) => void): X86Guest {
  const a = new Assembler({ origin: PROGRAM });
  emit(a);
  done(a);
  guest = new X86Guest(a, { mode: 64 });
  return guest;
}

describe("kvm client on /dev/kvm: doorbells", () => {
  it("of a port ring for their value and width only", () => {
    start((a) => {
      a.mov(dx, PORT);
      for (const value of [7, 8, 7]) {
        a.mov(ax, value);
        a.out(dx, al);
      }
      a.out(dx, ax);
    });
    const fd = guest.eventfd();
    const doorbell: IoEventFd = { fd, address: BigInt(PORT), length: 1, match: 7n, port: true };
    guest.vm.assignIoEventFd(doorbell);
    expect(() => guest.vm.assignIoEventFd(doorbell)).toThrow(expect.objectContaining({ errno: EEXIST }));
    const left: string[] = [];
    const port = ({ ioWidth, bytes, ioDataOffset }: X86Guest["vcpu"]): void => {
      left.push(`${ioWidth} ${bytes[ioDataOffset]}`);
    };
    expect(guest.run({ port })).toBe(OK);
    expect(left).toEqual(["1 8", "2 7"]);
    expect(guest.signals(fd)).toBe(2);
    guest.vm.deassignIoEventFd(doorbell);
    expect(() => guest.vm.deassignIoEventFd(doorbell)).toThrow(expect.objectContaining({ errno: ENOENT }));
  });

  it("of memory ring for any width when they have none", () => {
    start((a) => {
      a.mov(rbx, MEMORY);
      a.mov(byte(rbx), 1);
      a.mov(dword(rbx), 2);
      a.mov(dword(rbx, 4), 3);
    });
    const fd = guest.eventfd();
    guest.vm.assignIoEventFd({ fd, address: BigInt(MEMORY), length: 0 });
    const left: number[] = [];
    const memory = (vcpu: X86Guest["vcpu"]): void => {
      left.push(vcpu.mmioAddress - MEMORY);
    };
    expect(guest.run({ memory })).toBe(OK);
    expect([left, guest.signals(fd)]).toEqual([[4], 2]);
  });
});

describe("kvm client on /dev/kvm: coalesced writes", () => {
  it("wait in the ring, in their order, until somebody takes them", () => {
    start((a) => {
      a.mov(rbx, MEMORY);
      a.mov(dword(rbx), 0x11223344);
      a.mov(byte(rbx, 9), 5);
      a.mov(dx, PORT);
      a.mov(ax, 0x0607);
      a.out(dx, ax);
      a.mov(mem(rbx, 0x100), al);
      a.mov(dword(rbx, 4), 9);
    });
    guest.vm.registerCoalescedMmio({ address: MEMORY, size: 0x100 });
    guest.vm.registerCoalescedMmio({ address: PORT, size: 4, port: true });
    const ring = guest.vm.coalescedRing(guest.vcpu);
    const taken: string[] = [];
    const take = (): number | undefined =>
      ring?.drain((address, length, lo, hi, port) => {
        const value = (length === 1 ? lo & 0xff : length === 2 ? lo & 0xffff : lo).toString(16);
        taken.push(`${port ? "port" : "memory"} ${address.toString(16)}.${length} ${value} ${hi >= 0}`);
      });
    expect(take()).toBe(0);
    const left: number[] = [];
    const memory = (vcpu: X86Guest["vcpu"]): void => {
      left.push(vcpu.mmioAddress - MEMORY);
      expect(take()).toBe(3);
    };
    expect(guest.run({ memory })).toBe(OK);
    expect([left, take(), take()]).toEqual([[0x100], 1, 0]);
    expect(taken).toEqual([
      "memory d0000000.4 11223344 true",
      "memory d0000009.1 5 true",
      "port 500.2 607 true",
      "memory d0000004.4 9 true",
    ]);
  });

  it("leave again when their zone is gone", () => {
    start((a) => {
      a.mov(rbx, MEMORY);
      a.mov(dword(rbx), 1);
    });
    const zone = { address: MEMORY, size: 0x100 };
    guest.vm.registerCoalescedMmio(zone);
    guest.vm.unregisterCoalescedMmio(zone);
    let exits = 0;
    expect(guest.run({ memory: () => void exits++ })).toBe(OK);
    expect(exits).toBe(1);
  });
});
