// Interrupts that reach handlers of a guest through KVM's own controllers: by eventfd, by line, by message.
import { Assembler, al, ax, byte, word } from "@minivmm/x86asm";
import { afterEach, describe, expect, it } from "vitest";
import {
  countingHandler,
  enableLapic,
  endOfPicInterrupt,
  LEVEL_TRIGGERED,
  maskPics,
  routePin,
  setUpPics,
} from "../support/interrupt-controllers.ts";
import { setGate } from "../support/long-mode.ts";
import { done, OK, PROGRAM, READY, waitForByte, X86Guest } from "../support/x86-guest.ts";

const PIN = 10;
const VECTOR_PIN = 0x45;
const VECTOR_MESSAGE = 0x51;
const CPU_0 = { addressHi: 0, addressLo: 0xfee0_0000 };

let guest: X86Guest;
afterEach(() => guest.close());

/** Says that it is ready, and waits until the handlers have counted to the number of the round. */
function rounds(a: Assembler, count: number): void {
  for (let round = 1; round <= count; round++) {
    a.out(READY, al);
    waitForByte(a, "count", round);
  }
  done(a);
}

/** 64-bit mode: the pin and a message have handlers that count. */
function startWithApic(count: number, pinFlags = 0): X86Guest {
  const a = new Assembler({ origin: PROGRAM });
  maskPics(a);
  enableLapic(a);
  routePin(a, PIN, VECTOR_PIN, pinFlags);
  a.sti();
  rounds(a, count);
  countingHandler(a, "pin", "count");
  countingHandler(a, "message", "count");
  a.label("count");
  a.u8(0);
  guest = new X86Guest(a, { mode: 64, irqchip: true });
  setGate(guest.ram, VECTOR_PIN, a.addressOf("pin"));
  setGate(guest.ram, VECTOR_MESSAGE, a.addressOf("message"));
  return guest;
}

describe("kvm client on /dev/kvm: interrupts", () => {
  it("an irqfd reaches a handler of real mode through the PIC, once for each signal", () => {
    const [line, vector] = [4, 0x20];
    const a = new Assembler({ bits: 16, origin: PROGRAM });
    a.mov(word((vector + line) * 4), "handler");
    a.mov(word((vector + line) * 4 + 2), 0);
    setUpPics(a, vector, 1 << line);
    a.sti();
    rounds(a, 2);
    a.label("handler");
    a.push(ax);
    a.inc(byte("count"));
    endOfPicInterrupt(a);
    a.pop(ax);
    a.iret();
    a.label("count");
    a.u8(0);
    guest = new X86Guest(a, { mode: 16, irqchip: true });
    const event = guest.eventfd();
    guest.vm.assignIrqFd({ fd: event, gsi: line });
    expect(guest.run({ ready: () => guest.signal(event) })).toBe(OK);
    expect(guest.byteAt("count")).toBe(2);
    expect(guest.signals(event)).toBe(0);
  });

  it("an irqfd reaches a handler of 64-bit mode through the I/O APIC", () => {
    startWithApic(3);
    const event = guest.eventfd();
    guest.vm.assignIrqFd({ fd: event, gsi: PIN });
    expect(guest.run({ ready: () => guest.signal(event) })).toBe(OK);
    guest.vm.deassignIrqFd({ fd: event, gsi: PIN });
    guest.signal(event);
    expect(guest.signals(event)).toBe(1);
  });

  it("a level irqfd is lowered by the guest's end of interrupt, which signals the resamplefd", () => {
    startWithApic(2, LEVEL_TRIGGERED);
    const [fd, resampleFd] = [guest.eventfd(), guest.eventfd()];
    guest.vm.assignIrqFd({ fd, gsi: PIN, resampleFd });
    const resampled: number[] = [];
    const ready = (): void => {
      resampled.push(guest.signals(resampleFd));
      guest.signal(fd);
    };
    expect(guest.run({ ready })).toBe(OK);
    expect([...resampled, guest.signals(resampleFd)]).toEqual([0, 1, 1]);
    expect(guest.byteAt("count")).toBe(2);
  });

  it("a line interrupts at its rising edge, and not while it stays", () => {
    startWithApic(2);
    const ready = (): void => {
      guest.vm.setIrqLine(PIN, true);
      guest.vm.setIrqLine(PIN, true);
      guest.vm.setIrqLine(PIN, false);
    };
    expect(guest.run({ ready })).toBe(OK);
    expect(guest.byteAt("count")).toBe(2);
  });

  it("a message reaches the handler of its vector, and is told when nobody takes it", () => {
    startWithApic(2);
    const taken: boolean[] = [];
    const ready = (): void => {
      taken.push(guest.vm.signalMsi({ ...CPU_0, data: VECTOR_MESSAGE }));
      taken.push(guest.vm.signalMsi({ addressHi: 0, addressLo: 0xfee0_7000, data: VECTOR_MESSAGE }));
    };
    expect(guest.run({ ready })).toBe(OK);
    expect(taken).toEqual([true, false, true, false]);
  });

  it("an irqfd whose input is routed to a message sends it; other routes are gone", () => {
    startWithApic(2);
    const [message, pin] = [guest.eventfd(), guest.eventfd()];
    guest.vm.setGsiRouting([{ kind: "msi", gsi: 24, ...CPU_0, data: VECTOR_MESSAGE }]);
    guest.vm.assignIrqFd({ fd: message, gsi: 24 });
    guest.vm.assignIrqFd({ fd: pin, gsi: PIN });
    const ready = (): void => {
      guest.signal(pin);
      guest.signal(message);
    };
    expect(guest.run({ ready })).toBe(OK);
    expect(guest.byteAt("count")).toBe(2);
  });

  it("a signal that came before interrupts at once when the irqfd is assigned", () => {
    startWithApic(1);
    const event = guest.eventfd();
    guest.signal(event);
    expect(guest.run({ ready: () => guest.vm.assignIrqFd({ fd: event, gsi: PIN }) })).toBe(OK);
  });
});
