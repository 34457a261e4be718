// A machine pc that runs on this machine's /dev/kvm is asked what is behind its guest's pages: its thread answers between two
// instructions of a guest that never leaves by itself.
import { dx, eax } from "@minivmm/x86asm";
import { afterEach, describe, expect, it } from "vitest";
import { PcProgram } from "../../src/guests/pc-program.ts";
import { type GuestOptions, type GuestRun, startGuest } from "./x86-guest.ts";

const NVME = "0000:02:00.0";
const MIB = 2 ** 20;
const PCI_ADDRESS = 0xcf8;
const PCI_DATA = 0xcfc;
const COM1 = 0x3f8;

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

function spinFrom(guest: PcProgram): void {
  guest.print("up\n");
  guest.label("again");
  guest.jmp("again");
}

const GONE = { code: "VM_STATE", message: expect.stringMatching(/nothing to tell of its pages/) };

describe("pc on KVM: attributes of what runs", () => {
  it("are told before the run, and of a guest that spins without leaving", async () => {
    const run = await start(spinFrom, { memoryMiB: 48, cpus: 2 });
    const before = await run.vm.attributes();
    expect(before).toMatchObject({
      machine: "pc",
      accelerator: "kvm",
      nonCoherentDma: false,
      ram: [{ start: 0, bytes: 48 * MIB }],
      containers: [],
      bars: [],
      combined: null,
    });
    expect(["intel", "amd"]).toContain(before.cpu.vendor);
    expect(before.cpu.kernel).toHaveLength(2);
    expect(before.lockedBytes).not.toBeNull();
    const exit = run.exit();
    await run.said("up\n");
    for (let i = 0; i < 20; i++) expect((await run.vm.attributes()).ram).toEqual(before.ram);
    const several = await Promise.all([run.vm.attributes(), run.vm.attributes(), run.vm.attributes()]);
    expect(new Set(several.map((told) => JSON.stringify(told))).size).toBe(1);
    run.vm.stop();
    expect((await exit).reason).toBe("stopped");
  });

  it("have BARs where the guest put them, and RAM pinned for functions of the modelled host", async () => {
    const platform = { model: "desktop", devices: [{ driver: "vfio-pci", host: NVME, id: "disk" }], models: ["vga"] };
    const run = await start(
      (guest) => {
        // Memory space of slot 2 off.
        guest.mov(dx, PCI_ADDRESS);
        guest.mov(eax, 0x8000_0000 + (2 << 11) + 4);
        guest.out(dx, eax);
        guest.mov(dx, PCI_DATA);
        guest.mov(eax, 0);
        guest.out(dx, eax);
        spinFrom(guest);
      },
      { platform },
    );
    const before = await run.vm.attributes();
    expect(before.containers).toMatchObject([{ name: "default", functions: [NVME], pinnedBytes: 32 * MIB }]);
    expect(before.lockedBytes).toBe(32 * MIB);
    expect(before.combined).toEqual({ stores: 0, bursts: 0, bytes: 0 });
    expect(before.bars.every(({ address }) => address !== null)).toBe(true);
    const exit = run.exit();
    await run.said("up\n");
    const { bars } = await run.vm.attributes();
    expect(bars.find(({ hostFunction }) => hostFunction === NVME)).toEqual(before.bars[0]);
    const display = bars.filter(({ device, kind }) => device === "vga" && kind !== "io");
    expect(display.length).toBeGreaterThan(0);
    expect(display.every(({ address }) => address === null)).toBe(true);
    run.vm.stop();
    await exit;
  });

  it("are refused after the end, and to whoever still waits for them then", async () => {
    const run = await start((guest) => {
      guest.print("up\n");
      guest.powerOff();
    });
    const exit = run.exit();
    const asked = Array.from({ length: 50 }, () => run.vm.attributes().catch((error: unknown) => error));
    await exit;
    for (const told of await Promise.all(asked)) {
      if (told instanceof Error) expect(told).toMatchObject(GONE);
      else expect(told).toMatchObject({ machine: "pc" });
    }
    await expect(run.vm.attributes()).rejects.toMatchObject(GONE);
  });

  it("are refused to who waits when the VM is closed without having run", async () => {
    const run = await start(spinFrom);
    const asked = run.vm.attributes().catch((error: unknown) => error);
    run.vm.close();
    expect(await asked).toMatchObject(GONE);
    await expect(run.vm.attributes()).rejects.toMatchObject(GONE);
  });

  it("do not disturb a guest that counts what it prints", async () => {
    const run = await start((guest) => {
      guest.mov(eax, 20_000);
      guest.label("next");
      guest.mov(dx, COM1);
      guest.out(dx, eax);
      guest.dec(eax);
      guest.jne("next");
      guest.powerOff();
    });
    let over = false;
    const exit = run.exit().finally(() => {
      over = true;
    });
    let asked = 0;
    while (!over) {
      await run.vm.attributes().then(
        () => asked++,
        () => undefined,
      );
    }
    expect((await exit).reason).toBe("power-off");
    expect(asked).toBeGreaterThan(0);
    expect(run.vm.summary().exits.ports).toBe(20_001);
  });
});
