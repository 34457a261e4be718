// The 82574L: what a driver finds, how it resets it, interrupts by each mechanism, and frames through its rings.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { E1000eDevice, type E1000eOptions } from "../src/devices/index.ts";
import type { BarWidth } from "../src/index.ts";
import { FakeMemory, IrqLog } from "./support/memory.ts";

const [ICR, ICS, IMS, IMC, EIAC, IVAR] = [0xc0, 0xc8, 0xd0, 0xd8, 0xdc, 0xe4];
const [RCTL, TCTL, RDBAL, TDBAL] = [0x100, 0x400, 0x2800, 0x3800];
const LSC = 4;

function plug(options: E1000eOptions = {}) {
  const device = new E1000eDevice(options);
  const memory = new FakeMemory(0x10_0000, 0x1_0000);
  const irq = new IrqLog();
  device.dma = memory;
  device.irq = irq;
  device.config.write(4, 2, 7);
  const out = new Uint32Array(2);
  const read = (offset: number, width: BarWidth = 4, bar = 0): number => {
    device.readBar(bar, offset, width, out);
    return out[0]!;
  };
  const write = (offset: number, value: number, bar = 0): void => device.writeBar(bar, offset, 4, value, 0);
  return { device, memory, irq, read, write };
}

describe("pci e1000e: registers", () => {
  test("identity, link and address are there at power-on", () => {
    const { device, read } = plug({ mac: "52:54:00:ab:cd:ef" });
    expect(device.config.read(0, 4)).toBe(0x10d38086);
    expect([read(0), read(8), read(0x5400), read(0x5404)]).toEqual([0x00140241, 0x00080283, 0xab005452, 0x8000efcd]);
    expect(() => new E1000eDevice({ mac: "52:54:0:1:2" })).toThrow(expect.objectContaining({ code: "DESCRIPTION" }));
  });

  test("the NVM starts with the address and adds up", () => {
    const { read, write } = plug({ mac: "02:01:04:03:06:05" });
    const word = (n: number): number => {
      write(0x14, (n << 2) | 1);
      expect(read(0x14) & 2).toBe(2);
      return read(0x14) >>> 16;
    };
    const words = Array.from({ length: 64 }, (_, n) => word(n));
    expect(words.slice(0, 3)).toEqual([0x0102, 0x0304, 0x0506]);
    expect(words.reduce((sum, each) => (sum + each) & 0xffff, 0)).toBe(0xbaba);
    write(0x14, (64 << 2) | 1);
    expect(read(0x14)).toBe(64 << 2);
  });

  test("MDIC reads and writes the PHY at address 1, and says when there is no such register", () => {
    const { read, write } = plug();
    const phy = (register: number, address = 1): number => {
      write(0x20, 0x0800_0000 | (address << 21) | (register << 16));
      return read(0x20);
    };
    expect([phy(2) & 0xffff, phy(3) & 0xffff]).toEqual([0x0141, 0x0cb1]);
    expect([phy(2) >>> 28, phy(11) >>> 28, phy(2, 2) >>> 28]).toEqual([1, 5, 5]);
    write(0x20, 0x0420_0000 | (4 << 16) | 0x1234);
    expect(phy(4) & 0xffff).toBe(0x1234);
    write(0x20, 0x0420_0000 | 0x8000);
    expect(phy(4) & 0xffff).toBe(0x0de1);
  });

  test("a reset by CTRL loads the address again and leaves the rest; power takes everything", () => {
    const { device, read, write } = plug();
    write(0x28, 0x1234);
    write(0x5400, 7);
    write(0, 0x0400_0000);
    expect([read(0), read(0x28), read(0x5400)]).toEqual([0, 0x1234, 0x12005452]);
    device.reset("power");
    expect([read(0), read(0x28)]).toEqual([0x00140241, 0]);
  });

  test("the I/O BAR reaches every register, and narrow accesses the low part of one", () => {
    const { device, read, write } = plug();
    write(0, 0x38, 2);
    expect([read(4, 4, 2), read(0x38, 2), read(0x39, 1), read(5, 1, 2)]).toEqual([0x8100, 0x8100, 0, 0]);
    write(4, 0x1111, 2);
    expect(read(0x38)).toBe(0x1111);
    device.writeBar(0, 0x39, 1, 0x22, 0);
    expect(read(0x38)).toBe(0x22);
  });

  test("the ROM has a PC image and an EFI image for this function", () => {
    const { read } = plug();
    expect([read(0, 2, 6), read(2, 1, 6), read(0x1c, 4, 6)]).toEqual([0xaa55, 0x93, 0x52494350]);
    const second = 0x93 * 512;
    expect([read(second, 2, 6), read(second + 0x1c + 0x14, 1, 6), read(0x3fffc, 4, 6)]).toEqual([
      0xaa55, 3, 0xffffffff,
    ]);
  });
});

describe("pci e1000e: interrupts", () => {
  test("a cause raises the pin while it is enabled, and reading it takes it away", () => {
    const { irq, read, write } = plug();
    write(ICS, LSC);
    expect([irq.level, read(ICS)]).toEqual([false, 0x80000004]);
    write(IMS, LSC);
    expect([irq.level, read(IMS)]).toEqual([true, LSC]);
    expect([read(ICR), irq.level, read(ICR)]).toEqual([0x80000004, false, 0]);
    write(ICS, LSC);
    write(IMC, LSC);
    expect(irq.level).toBe(false);
  });

  test("MSI sends one message for a cause until it is acknowledged", () => {
    const { device, irq, read, write } = plug();
    device.msi!.program(0, 0xfee00000, 0x41);
    write(IMS, 0x84);
    for (const cause of [LSC, LSC, 0x80]) write(ICS, cause);
    expect(irq.messages.map((message) => message.data)).toEqual([0x41, 0x41]);
    expect(read(ICR)).toBe(0x80000084);
    write(ICS, LSC);
    expect([irq.messages.length, irq.level]).toEqual([3, false]);
  });

  test("MSI-X sends the vector that IVAR gives to a queue or to everything else", () => {
    const { device, irq, read, write } = plug();
    device.msix!.setControl(true);
    for (let n = 0; n < 5; n++) device.msix!.program(n, 0, 0xfee00000, n);
    write(IVAR, 0x000cba98);
    write(EIAC, 0x01f00000);
    write(IMS, 0x01f00004);
    for (const cause of [0x00100000, 0x00200000, 0x00400000, 0x00800000, LSC]) write(ICS, cause);
    expect(irq.messages.map(({ vector }) => vector)).toEqual([0, 1, 2, 3, 4]);
    // EIAC took the causes of queues and their masks; the link's own cause is still there.
    expect([read(ICS) & 0x7fffffff, read(IMS)]).toEqual([0x01000004, 4]);
  });
});

describe("pci e1000e: rings", () => {
  const BASE = 0x10_0000;
  const TX = 0;
  const RX = 0x1000;
  const FRAME = 0x2000;
  const BUFFER = 0x3000;

  function rings(options: E1000eOptions = {}, control = 0x0400_8002) {
    const card = plug(options);
    const { memory, write } = card;
    for (const [register, at] of [
      [TDBAL, TX],
      [RDBAL, RX],
    ] as const) {
      write(register, BASE + at);
      write(register + 8, 128);
    }
    for (let n = 0; n < 8; n++) memory.view.setUint32(RX + n * 16, BASE + BUFFER + n * 2048, true);
    write(RDBAL + 0x18, 7);
    write(RCTL, control);
    write(TCTL, 2);
    card.read(ICR);
    const frame = (n: number, length: number, command = 0x0b): void => {
      memory.view.setUint32(TX + n * 16, BASE + FRAME, true);
      memory.view.setUint32(TX + n * 16 + 8, (command << 24) | length, true);
      memory.view.setUint32(TX + n * 16 + 12, 0, true);
    };
    memory.bytes.fill(0xff, FRAME, FRAME + 6);
    return { ...card, frame };
  }

  test("a frame goes to the wire, its descriptor is done, and the cause is there", () => {
    const sent: Uint8Array[] = [];
    const { memory, read, write, frame } = rings({ wire: { send: (bytes) => void sent.push(bytes.slice()) } });
    frame(0, 40, 0);
    frame(1, 24);
    write(TDBAL + 0x18, 2);
    expect(sent.map((bytes) => bytes.length)).toEqual([64]);
    expect([memory.view.getUint32(TX + 12, true), memory.view.getUint32(TX + 28, true)]).toEqual([0, 1]);
    expect([read(TDBAL + 0x10), read(ICR), read(0x4080), read(0x4080)]).toEqual([2, 0x80000003, 1, 0]);
  });

  test("in loopback it comes back into a receive buffer", () => {
    const { memory, read, write, frame } = rings({}, 0x0400_8042);
    frame(0, 64);
    write(TDBAL + 0x18, 1);
    expect([memory.view.getUint32(RX + 8, true), memory.view.getUint32(RX + 12, true)]).toEqual([64, 3]);
    expect(memory.bytes.subarray(BUFFER, BUFFER + 64)).toEqual(memory.bytes.subarray(FRAME, FRAME + 64));
    expect([read(RDBAL + 0x10), read(ICR), read(0x4088)]).toEqual([1, 0x80000083, 68]);
  });

  test("frames for others are left alone, and one without a buffer is an overrun", () => {
    const { device, read, write } = rings({ mac: "52:54:00:00:00:01" });
    const to = (...address: number[]): Uint8Array => Uint8Array.from([...address, ...new Uint8Array(60)]);
    expect(device.receive(to(0x52, 0x54, 0, 0, 0, 2))).toBe(false);
    expect(device.receive(to(0x52, 0x54, 0, 0, 0, 1))).toBe(true);
    expect(device.receive(to(1, 0, 0x5e, 0, 0, 1))).toBe(false);
    const index = (0 | (1 << 8)) >> 4;
    write(0x5200 + (index >> 5) * 4, 1 << (index & 31));
    expect(device.receive(to(1, 0, 0x5e, 0, 0, 1))).toBe(true);
    read(ICR);
    write(RDBAL + 0x18, read(RDBAL + 0x10));
    expect([device.receive(to(0x52, 0x54, 0, 0, 0, 1)), read(ICR)]).toEqual([false, 0x80000040]);
  });

  test("refused memory stops a queue and nothing else", () => {
    const { memory, read, write, frame } = rings();
    memory.hole = { from: BASE + FRAME, to: BASE + FRAME + 1 };
    frame(0, 64);
    write(TDBAL + 0x18, 1);
    expect([read(TDBAL + 0x10), memory.refused, read(8)]).toEqual([0, 1, 0x00080283]);
  });

  test("no sequence of accesses throws or runs on", () => {
    const register = fc.oneof(
      fc.constantFrom(0, 0x14, 0x20, ICR, ICS, IMS, RCTL, TCTL, TDBAL, TDBAL + 8, TDBAL + 0x10, TDBAL + 0x18),
      fc.constantFrom(RDBAL, RDBAL + 8, RDBAL + 0x10, RDBAL + 0x18, IVAR, EIAC),
      fc.nat(0x1_ffff),
    );
    const access = fc.record({
      bar: fc.constantFrom(0, 0, 0, 2, 3),
      offset: register,
      width: fc.constantFrom<BarWidth>(1, 2, 4, 8),
      lo: fc.oneof(fc.constantFrom(0, 1, 2, 0x10_0000, 0xffff_ffff), fc.nat(0xffff_ffff)),
      hi: fc.constantFrom(0, 0xffff_ffff),
    });
    fc.assert(
      fc.property(fc.array(access, { maxLength: 60 }), (accesses) => {
        const { device, memory } = rings();
        const out = new Uint32Array(2);
        for (const { bar, offset, width, lo, hi } of accesses) {
          device.writeBar(bar, offset, width, lo, hi);
          device.readBar(bar, offset, width, out);
        }
        device.receive(new Uint8Array(1500).fill(0xff));
        expect(memory.transfers).toBeLessThan(200_000);
        device.reset("power");
        device.readBar(0, 8, 4, out);
        expect(out[0]).toBe(0x00080283);
      }),
      { numRuns: 60 },
    );
  });
});
