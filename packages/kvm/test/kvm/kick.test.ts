// A vCPU is got out of KVM_RUN by another thread, whatever its guest does.
import { EINTR, realHost } from "@minivmm/host";
import { Assembler, byte } from "@minivmm/x86asm";
import { afterEach, describe, expect, it } from "vitest";
import { KVM_MP_STATE_HALTED, KVM_MP_STATE_RUNNABLE, KvmError, RunPageAlias } from "../../src/index.ts";
import { asleep, kick, runVcpu } from "../support/run-vcpu.ts";
import { PROGRAM, STACK, X86Guest } from "../support/x86-guest.ts";

const host = realHost();

let guest: X86Guest;
afterEach(() => guest.close());

/** A guest that counts in a byte and does `emit`, for ever. */
function counting(at: number, emit: (a: Assembler) => void): Assembler {
  const a = new Assembler({ origin: at });
  a.label("again");
  a.inc(byte("count"));
  emit(a);
  a.jmp("again");
  a.label("count");
  a.u8(0);
  return a;
}

/** Waits until the guest has counted on from `before`. */
async function counted(at: number, before: number): Promise<number> {
  while (Atomics.load(guest.ram, at) === before) await new Promise((resolve) => setImmediate(resolve));
  return Atomics.load(guest.ram, at);
}

describe("kvm client on /dev/kvm: kicking a vCPU", () => {
  it("an endless loop comes back with EINTR, and goes on when it is run again", async () => {
    const program = counting(PROGRAM, (a) => a.pause());
    guest = new X86Guest(program, { mode: 64, irqchip: true });
    const each = await runVcpu(guest, guest.vcpu);
    let count = 0;
    for (let round = 0; round < 3; round++) {
      const result = each.run();
      count = await counted(program.addressOf("count"), count);
      expect(kick(each)).toBe(0);
      expect(await result).toBe(-EINTR);
      count = guest.byteAt("count");
    }
    await each.end();
  });

  it("a second vCPU that halts in the kernel comes back with EINTR, and halts on", async () => {
    const program = counting(PROGRAM, (a) => a.hlt());
    guest = new X86Guest(program, { mode: 64, irqchip: true });
    using second = guest.vm.createVcpu(1);
    second.setCpuid(guest.system.supportedCpuid());
    second.setSregs({ ...guest.vcpu.getSregs(), apic_base: second.getSregs().apic_base });
    second.setRegs({ rip: BigInt(PROGRAM), rsp: BigInt(STACK), rflags: 2n });
    second.setMpState(KVM_MP_STATE_RUNNABLE);
    const each = await runVcpu(guest, second);
    for (let round = 0; round < 3; round++) {
      const result = each.run();
      await counted(program.addressOf("count"), 0);
      await asleep(each);
      expect(kick(each)).toBe(0);
      expect(await result).toBe(-EINTR);
    }
    await each.end();
    expect([guest.byteAt("count"), second.getMpState()]).toEqual([1, KVM_MP_STATE_HALTED]);
  });

  it("a thread that is only about to run its vCPU comes back too", async () => {
    guest = new X86Guest(
      counting(PROGRAM, (a) => a.pause()),
      { mode: 64 },
    );
    const each = await runVcpu(guest, guest.vcpu);
    each.alias.immediateExit = true;
    expect(await each.run()).toBe(-EINTR);
    await each.end();
  });

  it("a vCPU that is let go of keeps its descriptor", () => {
    guest = new X86Guest(new Assembler(), { mode: 16 });
    const alias = new RunPageAlias(host, guest.vcpu.fd);
    alias.immediateExit = true;
    expect(guest.vcpu.run()).toBe(-EINTR);
    guest.vcpu.detach();
    expect(guest.vcpu.getRegs().rip).toBe(BigInt(PROGRAM));
    alias.close();
  });

  it("what is no vCPU has no run page", () => {
    guest = new X86Guest(new Assembler(), { mode: 16 });
    expect(() => new RunPageAlias(host, guest.eventfd())).toThrow(KvmError);
  });
});
