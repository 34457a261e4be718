// Whole VMs: the real CPU engine under the machine, small guests, the modelled host where a device is needed.
import { type ModelledHost, modelHost } from "@minivmm/model-host";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { VmConfig } from "../src/config.ts";
import type { PseriesSummary } from "../src/summary.ts";
import { createVm, type Vm, type VmExit } from "../src/vm.ts";
import { printAndEnd, probeNothing, sleepLong, sleepThenEnd, spin } from "./small-guests.ts";

const MIB = 0x10_0000;
let model: ModelledHost;
beforeAll(() => {
  model = modelHost("power9");
});
afterAll(() => model.close());

interface Made {
  readonly vm: Vm<PseriesSummary>;
  readonly output: () => string;
}

async function make(kernel: Uint8Array, more: Partial<VmConfig> = {}): Promise<Made> {
  let text = "";
  const vm = await createVm(model.spawn({ memlock: Number.POSITIVE_INFINITY }), {
    machine: "pseries",
    memoryBytes: 16 * MIB,
    kernel: { bytes: kernel },
    clock: "instructions",
    console: {
      write: (bytes) => {
        text += new TextDecoder().decode(bytes);
      },
    },
    ...more,
  });
  return { vm, output: () => text };
}

async function run(
  kernel: Uint8Array,
  more: Partial<VmConfig> = {},
): Promise<VmExit & { output: string; vm: Vm<PseriesSummary> }> {
  const { vm, output } = await make(kernel, more);
  const exit = await vm.run();
  vm.close();
  return { ...exit, output: output(), vm };
}

describe("vmm: a whole VM", () => {
  it("prints what the guest prints and ends with status 0 at power-off", async () => {
    const { output, vm, ...exit } = await run(printAndEnd("Hello, pseries\n"));
    expect(exit).toEqual({ status: 0, reason: "power-off" });
    expect(output).toBe("Hello, pseries\n");
    const summary = vm.summary();
    expect(summary.hypercalls).toEqual({ H_PUT_TERM_CHAR: 1 });
    expect(summary.rtasCalls).toEqual({ "power-off": 1 });
    expect(summary.instructions).toBeGreaterThan(10);
    expect(summary.timeline.map(({ name }) => name)).toEqual([
      "machine created",
      "kernel loaded",
      "guest entered",
      "first console output",
      "power off",
      "run ended",
    ]);
  });

  it("calls a reboot a reset", async () => {
    expect(await run(printAndEnd("bye\n", "reset"))).toMatchObject({ status: 0, reason: "reset", output: "bye\n" });
  });

  it("answers loads where nothing is with ones", async () => {
    const { output, vm } = await run(probeNothing());
    expect(output).toBe("ones\n");
    expect(vm.summary().exits).toMatchObject({ strayMmio: 2, mmio: 2 });
  });

  it("skips an idle guest to its timer, the same each time, when time is counted in instructions", async () => {
    const first = await run(sleepThenEnd(512_000_000));
    const second = await run(sleepThenEnd(512_000_000));
    expect(first.reason).toBe("power-off");
    expect(second.vm.summary().instructions).toBe(first.vm.summary().instructions);
    expect(first.vm.summary().instructions).toBeLessThan(1000);
  });

  it("waits for an idle guest's timer on the wall clock", async () => {
    const { reason, vm } = await run(sleepThenEnd(512_000 * 300), { clock: "wall" });
    expect(reason).toBe("power-off");
    expect(vm.summary().idleMs).toBeGreaterThan(0);
    expect(vm.summary().instructions).toBeLessThan(1000);
  });

  it("can be stopped while the guest spins and while it sleeps", async () => {
    for (const [guest, clock] of [
      [spin(), "instructions"],
      [sleepLong(), "wall"],
    ] as const) {
      const { vm } = await make(guest, { clock });
      const exit = vm.run();
      setTimeout(() => vm.stop(), 5);
      expect(await exit).toEqual({ status: 0, reason: "stopped" });
      vm.close();
    }
  });

  it("runs once", async () => {
    const { vm } = await make(printAndEnd("once\n"));
    await vm.run();
    await expect(vm.run()).rejects.toMatchObject({ code: "VM_STATE" });
    vm.close();
    vm.close();
  });

  it("refuses a kernel that does not fit, saying how much memory is needed", async () => {
    await expect(make(printAndEnd("x"), { memoryBytes: MIB, initrd: new Uint8Array(2 * MIB) })).rejects.toMatchObject({
      code: "USAGE_MEMORY_TOO_SMALL",
      hint: expect.stringContaining("MiB"),
    });
    await expect(make(new Uint8Array(100))).rejects.toMatchObject({ code: "ELF_NOT_ELF" });
  });

  it("takes a device and gives it back, also when a later step fails", async () => {
    const devices = [{ driver: "vfio-pci", host: "0001:01:00.0" }] as const;
    await expect(make(printAndEnd("x"), { devices, memoryBytes: MIB, initrd: new Uint8Array(MIB) })).rejects.toThrow();
    const { reason, vm } = await run(printAndEnd("disk\n"), { devices });
    expect(reason).toBe("power-off");
    expect(vm.summary().dma[0]).toMatchObject({ windowsCreated: 1, windowErrors: 0 });
    expect(vm.summary().devices).toMatchObject([{ name: "dev0", slot: 1, barWrites: [], problems: [] }]);
    expect((await run(printAndEnd("again\n"), { devices })).output).toBe("again\n");
  });

  it("keeps devices in one container, or in containers of their own when asked", async () => {
    const shared = await run(printAndEnd("x"), {
      devices: ["0001:01:00.0", "0002:01:00.0"].map((host) => ({ driver: "vfio-pci" as const, host })),
    });
    expect(shared.vm.summary().dma).toHaveLength(1);
    const apart = await run(printAndEnd("x"), {
      devices: ["0001:01:00.0", "0002:01:00.0"].map((host) => ({ driver: "vfio-pci" as const, host, container: host })),
    });
    expect(apart.vm.summary().dma.map(({ windowsCreated }) => windowsCreated)).toEqual([1, 1]);
  });

  it("reports a device that the host does not have", async () => {
    const devices = [{ driver: "vfio-pci", host: "0009:01:00.0" }] as const;
    await expect(make(printAndEnd("x"), { devices })).rejects.toMatchObject({ code: "NO_DEVICE" });
  });
});
