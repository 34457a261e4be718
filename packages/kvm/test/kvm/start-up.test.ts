// A CPU other than the first waits in KVM_RUN until the guest starts it.
import { EINTR } from "@minivmm/host";
import { Assembler, ax, byte, ds } from "@minivmm/x86asm";
import { afterEach, describe, expect, it } from "vitest";
import { KVM_MP_STATE_HALTED, KVM_MP_STATE_UNINITIALIZED } from "../../src/index.ts";
import { enableLapic, startOtherCpus } from "../support/interrupt-controllers.ts";
import { asleep, kick, runVcpu } from "../support/run-vcpu.ts";
import { done, OK, PROGRAM, waitForByte, X86Guest } from "../support/x86-guest.ts";

const SECOND = 0x3000;

let guest: X86Guest;
afterEach(() => guest.close());

describe("kvm client on /dev/kvm: starting CPUs", () => {
  it("the second CPU sleeps until INIT and SIPI, runs real mode from their page, and is kicked out of its halt", async () => {
    const a = new Assembler({ origin: PROGRAM });
    enableLapic(a);
    startOtherCpus(a, SECOND);
    waitForByte(a, "started", 7);
    done(a);
    a.label("started");
    a.u8(0);
    guest = new X86Guest(a, { mode: 64, irqchip: true });

    // The segment is the page, so the flag is at another offset there than in the first CPU's program.
    const other = new Assembler({ bits: 16 });
    other.xor(ax, ax);
    other.mov(ds, ax);
    other.mov(byte(a.addressOf("started")), 7);
    other.hlt();
    guest.ram.set(other.bytes(), SECOND);

    using second = guest.vm.createVcpu(1);
    second.setCpuid(guest.system.supportedCpuid());
    expect(second.getMpState()).toBe(KVM_MP_STATE_UNINITIALIZED);
    const each = await runVcpu(guest, second);
    const result = each.run();
    expect(guest.run()).toBe(OK);
    await asleep(each);
    expect(kick(each)).toBe(0);
    expect(await result).toBe(-EINTR);
    await each.end();
    expect([second.getMpState(), second.getRegs().rip]).toEqual([KVM_MP_STATE_HALTED, BigInt(other.size)]);
  });
});
