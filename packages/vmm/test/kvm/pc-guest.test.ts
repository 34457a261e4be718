// Machine pc on this machine's /dev/kvm: small guests in long mode, how they end, and how they are ended.
import { Assembler, al, ax, byte, ds, dword, dx, ebx, ecx, rbx, rdi, rsi } from "@minivmm/x86asm";
import { afterEach, describe, expect, it } from "vitest";
import { PcProgram } from "../../src/guests/pc-program.ts";
import { type GuestOptions, type GuestRun, startGuest } from "./x86-guest.ts";

const COM1 = 0x3f8;
const LINE_STATUS = COM1 + 5;
const LAPIC = 0xfee0_0000;
const AP_START = 0x8_0000;
const AP_FLAG = 0x500;
/** In boot_params (Documentation/arch/x86/boot.rst). */
const RAMDISK_IMAGE = 0x218;

const runs: GuestRun[] = [];
afterEach(() => {
  for (const { vm } of runs.splice(0)) vm.close();
});
async function start(build: (guest: PcProgram) => void, options: GuestOptions = {}): Promise<GuestRun> {
  const guest = new PcProgram();
  build(guest);
  const run = await startGuest(guest, options);
  runs.push(run);
  return run;
}

describe("pc on KVM", () => {
  it("enters a 64-bit program, shows what it prints, and ends at ACPI's power off", async () => {
    const run = await start((guest) => {
      guest.print("hello from long mode\n");
      guest.powerOff();
    });
    expect(await run.exit()).toEqual({ status: 0, reason: "power-off" });
    expect(run.output()).toBe("hello from long mode\n");
    const { timeline, exits, console } = run.vm.summary();
    expect(console.outputBytes).toBe(21);
    expect(exits.ports).toBe(22);
    const moments = [
      "thread started",
      "host opened",
      "machine created",
      "guest entered",
      "first console output",
      "power off",
      "run ended",
    ];
    expect(timeline.map(({ name }) => name).filter((name) => moments.includes(name))).toEqual(moments);
  });

  it("counts its timeline from where it is told, with what happened before", async () => {
    const origin = performance.timeOrigin + performance.now() - 1000;
    const since = { origin, marks: [{ name: "asked for", ms: 999 }] };
    const run = await start((guest) => guest.powerOff(), { since });
    await run.exit();
    const { timeline } = run.vm.summary();
    expect(timeline[0]).toEqual({ name: "asked for", ms: 999, instructions: 0 });
    for (const { ms } of timeline.slice(1)) expect(ms).toBeGreaterThanOrEqual(1000);
  });

  it("gives the guest what is typed, and shows a prompt without an end of line", async () => {
    const run = await start((guest) => {
      guest.print("name? ");
      guest.label("wait");
      guest.mov(dx, LINE_STATUS);
      guest.in(al, dx);
      guest.test(al, 1);
      guest.je("wait");
      guest.mov(dx, COM1);
      guest.in(al, dx);
      guest.putc();
      guest.cmp(al, 0x0a);
      guest.jne("wait");
      guest.powerOff();
    });
    const exit = run.exit();
    await run.said("name? ");
    run.type("ada\n");
    expect((await exit).reason).toBe("power-off");
    expect(run.output()).toBe("name? ada\n");
  });

  it("is stopped while it loops, with and without interrupts, and while it sleeps", async () => {
    const programs: ((guest: PcProgram) => void)[] = [
      (guest) => guest.spin(),
      (guest) => {
        guest.cli();
        guest.spin();
      },
      (guest) => guest.hlt(),
      (guest) => {
        guest.label("exits");
        guest.in(al, 0x80);
        guest.jmp("exits");
      },
    ];
    for (const program of programs) {
      const run = await start((guest) => {
        guest.print("on\n");
        program(guest);
      });
      const exit = run.exit();
      await run.said("on");
      run.vm.stop();
      expect(await exit).toEqual({ status: 0, reason: "stopped" });
    }
  });

  it("is reset by port 0xcf9, by the keyboard controller and by a triple fault", async () => {
    const resets: ((guest: PcProgram) => void)[] = [
      (guest) => {
        guest.mov(dx, 0xcf9);
        guest.mov(al, 2);
        guest.out(dx, al);
        guest.mov(al, 6);
        guest.out(dx, al);
      },
      (guest) => {
        guest.mov(al, 0xfe);
        guest.out(0x64, al);
      },
      (guest) => guest.ud2(),
    ];
    for (const reset of resets) {
      const run = await start((guest) => {
        reset(guest);
        guest.spin();
      });
      expect(await run.exit()).toEqual({ status: 0, reason: "reset" });
    }
  });

  it("starts its second CPU, whose accesses the machine answers too", async () => {
    const run = await start((guest) => startSecondCpu(guest), { cpus: 2 });
    expect((await run.exit()).reason).toBe("power-off");
    expect(run.output()).toBe("second\nfirst\n");
    expect(run.vm.summary().cpus).toBe(2);
  });

  it("ends when the second CPU asks for it, and can be stopped while both loop", async () => {
    const off = await start((guest) => startSecondCpu(guest, "off"), { cpus: 2 });
    expect((await off.exit()).reason).toBe("power-off");
    const loop = await start((guest) => startSecondCpu(guest, "loop"), { cpus: 2 });
    const exit = loop.exit();
    await loop.said("first");
    loop.vm.stop();
    expect((await exit).reason).toBe("stopped");
  });

  it("is as slow as the terminal of a user who reads slowly, and loses nothing", async () => {
    const lines = 200;
    const run = await start((guest) => {
      guest.mov(ebx, lines);
      guest.label("line");
      guest.mov(ecx, 1000);
      guest.mov(rsi, "text");
      guest.mov(dx, COM1);
      guest.rep();
      guest.outsb();
      guest.dec(ebx);
      guest.jne("line");
      guest.powerOff();
      guest.label("text");
      guest.ascii("x".repeat(999));
      guest.ascii("\n");
    });
    const watch = setInterval(() => {
      // Nobody shows anything for a while.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30);
    }, 5);
    expect((await run.exit()).reason).toBe("power-off");
    clearInterval(watch);
    expect(run.output().length).toBe(lines * 1000);
    expect(run.vm.summary().console.outputBytes).toBe(lines * 1000);
  });

  it("closes without having run", async () => {
    const run = await start((guest) => guest.powerOff());
    run.vm.close();
    await expect(run.exit()).rejects.toMatchObject({ code: "VM_STATE" });
  });

  it("has an initrd that comes late where boot_params says, and rejects as it does", async () => {
    const late = new Promise<Uint8Array>((resolve) => {
      setTimeout(() => resolve(new TextEncoder().encode("I")), 20);
    });
    const run = await start(
      (guest) => {
        guest.mov(ebx, dword(rsi, RAMDISK_IMAGE));
        guest.mov(al, byte(rbx));
        guest.putc();
        guest.powerOff();
      },
      { initrd: late },
    );
    await run.exit();
    expect(run.output()).toBe("I");
    const why = new Error("it cannot be had");
    const idle = (guest: PcProgram) => guest.spin();
    await expect(start(idle, { initrd: Promise.reject(why) })).rejects.toBe(why);
  });

  it("says what is wrong with a kernel, and leaves nothing behind", async () => {
    const broken = new PcProgram();
    broken.elf = () => new Uint8Array(100);
    await expect(startGuest(broken)).rejects.toMatchObject({
      name: "VmmError",
      code: expect.stringMatching(/^[A-Z_]+$/),
    });
  });
});

/** The second CPU begins in 16-bit code at 0x8000, says "second", and does `then`; the first one waits for that word. */
function startSecondCpu(guest: PcProgram, then: "hlt" | "off" | "loop" = "hlt"): void {
  const ap = new Assembler({ bits: 16, origin: AP_START });
  for (const byte of new TextEncoder().encode("second\n")) {
    ap.mov(dx, COM1);
    ap.mov(al, byte);
    ap.out(dx, al);
  }
  ap.xor(ax, ax);
  ap.mov(ds, ax);
  ap.mov(byte(AP_FLAG), 1);
  if (then === "off") {
    ap.mov(dx, 0x604);
    ap.mov(ax, (5 << 10) | (1 << 13));
    ap.out(dx, ax);
  }
  ap.label("rest");
  if (then !== "loop") ap.hlt();
  ap.jmp("rest");
  const code = ap.bytes();
  guest.mov(rdi, AP_START);
  for (const value of code) {
    guest.mov(byte(rdi), value);
    guest.inc(rdi);
  }
  // INIT, then two start-up interrupts with the page of the code, to APIC 1.
  guest.mov(rbx, LAPIC);
  for (const command of [0x4500, 0x4600 | (AP_START >> 12), 0x4600 | (AP_START >> 12)]) {
    guest.mov(dword(rbx, 0x310), 1 << 24);
    guest.mov(dword(rbx, 0x300), command);
  }
  guest.label("wait for the other");
  guest.pause();
  guest.mov(rdi, AP_FLAG);
  guest.cmp(byte(rdi), 0);
  guest.je("wait for the other");
  guest.print("first\n");
  if (then === "hlt") guest.powerOff();
  guest.spin();
}
