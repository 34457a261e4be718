import { H_CEDE, H_FUNCTION } from "@minivmm/kvm";
import { ExitReason } from "@minivmm/ppc64";
import { beforeEach, describe, expect, it } from "vitest";
import { type ClockedCpu, type GuestClock, instructionClock, wallClock } from "../src/accel/guest-clock.ts";
import { SoftAccel, type SoftCpu } from "../src/accel/soft.ts";
import { RTAS_POWER_OFF } from "../src/machines/pseries/rtas/tokens.ts";
import { type Bench, bench, RTAS_FRAME } from "./fakes.ts";

/** Plays a list of exits; each entry prepares registers or the exit record and names the reason. */
class ScriptedCpu implements SoftCpu {
  script: (() => number)[] = [];
  readonly exit = {
    gpa: 0,
    size: 4 as 1 | 2 | 4 | 8,
    write: false,
    lo: 0,
    hi: 0,
    message: "",
    bytes: new Uint8Array(64),
  };
  retired = 0;
  readonly gpr32 = new Uint32Array(64);
  pc = 0n;
  lr = 0x1234n;
  msr = 0n;
  ee = false;
  deliverable = false;
  completed: [number, number][] = [];
  run(budget: number): number {
    const step = this.script.shift();
    this.retired += step === undefined ? budget : 100;
    return step === undefined ? ExitReason.budget : step();
  }
  gprHi(n: number): number {
    return this.gpr32[n * 2 + 1]!;
  }
  gprLo(n: number): number {
    return this.gpr32[n * 2]!;
  }
  setGpr(n: number, hi: number, lo: number): void {
    this.gpr32[n * 2] = lo;
    this.gpr32[n * 2 + 1] = hi;
  }
  completeMmio(lo: number, hi: number): void {
    this.completed.push([lo, hi]);
  }
  setMsrEE(): void {
    this.ee = true;
  }
  interruptDeliverable(): boolean {
    return this.deliverable;
  }
}

let cpu: ScriptedCpu;
let b: Bench;
let pauses: number;
let accel: SoftAccel;
const stillClock: GuestClock = { sync: () => {}, idle: () => 0, timeOfDay: () => 0 };

const halt = (): number => {
  cpu.exit.message = "end of script";
  return ExitReason.halt;
};
const hcall = (token: number) => (): number => {
  cpu.setGpr(3, 0, token);
  return ExitReason.hcall;
};

beforeEach(() => {
  cpu = new ScriptedCpu();
  b = bench();
  pauses = 0;
  accel = makeAccel(stillClock);
  b.cpu.cede = () => accel.cede();
});

function makeAccel(clock: GuestClock): SoftAccel {
  return new SoftAccel({
    cpu,
    machine: b.machine,
    clock,
    onPause: () => {
      pauses++;
    },
  });
}

describe("vmm software accelerator", () => {
  it("ends with the CPU's message at a halt", async () => {
    cpu.script = [halt];
    expect(await accel.run()).toEqual({ reason: "halt", message: "end of script" });
    expect(pauses).toBe(1);
  });

  it("answers a hypercall and goes on", async () => {
    cpu.script = [hcall(0x7000), halt];
    await accel.run();
    expect(cpu.gpr32[6]).toBe(H_FUNCTION >>> 0);
    expect(accel.exits.hypercall).toBe(1);
  });

  it("gives a load its value and a store its data", async () => {
    b.machine.phb.writeConfig(0x810, 4, 0x8000_0000);
    b.machine.phb.writeConfig(0x804, 2, 2);
    b.device.registers.set([1, 2, 3, 4], 8);
    const access = (write: boolean, lo: number) => (): number => {
      Object.assign(cpu.exit, { gpa: 0x2000_8000_0008, size: 4, write, lo, hi: 0 });
      return ExitReason.mmio;
    };
    cpu.script = [access(false, 0), access(true, 0x55667788), halt];
    await accel.run();
    expect(cpu.completed).toEqual([
      [0x04030201, 0],
      [0, 0],
    ]);
    expect([...b.device.registers.subarray(8, 12)]).toEqual([0x88, 0x77, 0x66, 0x55]);
  });

  it("takes a burst apart by its mask, and asks for no answer", async () => {
    b.machine.phb.writeConfig(0x810, 4, 0x8000_0000);
    b.machine.phb.writeConfig(0x804, 2, 2);
    b.device.registers.fill(0xee, 0x40, 0x80);
    cpu.exit.bytes.forEach((_, n) => {
      cpu.exit.bytes[n] = n;
    });
    const burst = (): number => {
      Object.assign(cpu.exit, { gpa: 0x2000_8000_0040, size: 64, write: true, lo: 0x0000_0006, hi: 0xffff_0000 });
      return ExitReason.burst;
    };
    cpu.script = [burst, halt];
    await accel.run();
    const expected = Array.from({ length: 64 }, (_, n) => (n === 1 || n === 2 || n >= 48 ? n : 0xee));
    expect([...b.device.registers.subarray(0x40, 0x80)]).toEqual(expected);
    expect(accel.exits).toMatchObject({ burst: 1, mmio: 0 });
    expect(cpu.completed).toEqual([]);
  });

  it("serves RTAS and returns to the link register in 64-bit little-endian real mode", async () => {
    [0x9999, 0, 1].forEach((word, i) => {
      b.ram.setU32be(RTAS_FRAME + i * 4, word);
    });
    cpu.setGpr(3, 0, RTAS_FRAME);
    cpu.script = [() => ExitReason.trap, halt];
    await accel.run();
    expect(cpu.pc).toBe(0x1234n);
    expect(cpu.msr).toBe(0x8000000000001003n);
    expect(b.ram.u32be(RTAS_FRAME + 12) | 0).toBe(-3);
  });

  it("ends at power-off without executing more", async () => {
    [RTAS_POWER_OFF, 2, 1, 0, 0].forEach((word, i) => {
      b.ram.setU32be(RTAS_FRAME + i * 4, word);
    });
    cpu.setGpr(3, 0, RTAS_FRAME);
    cpu.script = [() => ExitReason.trap, halt];
    expect(await accel.run()).toEqual({ reason: "power-off" });
    expect(cpu.script).toHaveLength(1);
  });

  it("stops between slices", async () => {
    const end = accel.run();
    accel.stop();
    expect(await end).toEqual({ reason: "stopped" });
  });

  it("sleeps in H_CEDE until an interrupt wakes it", async () => {
    accel = makeAccel({ ...stillClock, idle: () => 1e9 });
    cpu.script = [hcall(H_CEDE), halt];
    setTimeout(() => {
      cpu.deliverable = true;
      accel.wake();
    }, 5);
    expect((await accel.run()).reason).toBe("halt");
    expect(cpu.ee).toBe(true);
    expect(accel.idleMs).toBeGreaterThan(0);
    expect(accel.exits.idle).toBe(1);
  });

  it("does not sleep when an interrupt is already pending at H_CEDE", async () => {
    cpu.deliverable = true;
    cpu.script = [hcall(H_CEDE), halt];
    await accel.run();
    expect(accel.exits.idle).toBe(0);
  });

  it("can be stopped while it sleeps", async () => {
    accel = makeAccel({ ...stillClock, idle: () => 1e9 });
    cpu.script = [hcall(H_CEDE)];
    setTimeout(() => accel.stop(), 5);
    expect(await accel.run()).toEqual({ reason: "stopped" });
  });
});

describe("vmm guest clock", () => {
  class Ticks implements ClockedCpu {
    tb = 0;
    dec = 512_000 * 10;
    timebase(): number {
      return this.tb;
    }
    ticksToDecrementer(): number {
      return this.dec - this.tb;
    }
    advanceTimebase(ticks: number): void {
      this.tb += ticks;
    }
  }

  it("counted in instructions, skips an idle guest to its timer at once and repeats its calendar", () => {
    const ticks = new Ticks();
    const clock = instructionClock(ticks);
    clock.sync();
    expect(ticks.tb).toBe(0);
    expect(clock.idle()).toBe(0);
    expect(ticks.ticksToDecrementer()).toBe(0);
    expect(clock.timeOfDay()).toBe(Date.UTC(2000, 0, 1) + 10);
  });

  it("by the wall, pushes a lagging timebase forward, never back", async () => {
    const ticks = new Ticks();
    const clock = wallClock(ticks);
    clock.sync();
    await new Promise((resolve) => setTimeout(resolve, 3));
    clock.sync();
    expect(ticks.tb).toBeGreaterThan(0);
    ticks.tb += 512_000_000;
    const ahead = ticks.tb;
    clock.sync();
    expect(ticks.tb).toBe(ahead);
  });

  it("by the wall, says how long the timer takes, and 0 when it is due", () => {
    const ticks = new Ticks();
    const clock = wallClock(ticks);
    expect(clock.idle()).toBeGreaterThan(0);
    expect(clock.idle()).toBeLessThanOrEqual(10);
    ticks.dec = -5;
    expect(clock.idle()).toBe(0);
  });
});
