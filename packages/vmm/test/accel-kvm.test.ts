// The same guests with and without KVM on the modelled POWER9: the machine cannot be told apart by its console.
import { realHost } from "@minivmm/host";
import { type ModelledHost, modelHost } from "@minivmm/model-host";
import { Cpu, ExitReason } from "@minivmm/ppc64";
import { Assembler, r4, r12, SPR_SRR0, SPR_SRR1 } from "@minivmm/ppc64/asm";
import { afterEach, describe, expect, it } from "vitest";
import type { VmConfig } from "../src/config.ts";
import { bareDiskProgram, diskPattern, WRITE_PATTERN } from "../src/guests/index.ts";
import { rtasFirmware } from "../src/machines/pseries/rtas/firmware.ts";
import type { PseriesSummary } from "../src/summary.ts";
import { createVm, type VmExit } from "../src/vm.ts";
import { printAndEnd, probeNothing, sleepLong, sleepThenEnd, spin } from "./small-guests.ts";

const MIB = 0x10_0000;
const open: ModelledHost[] = [];
afterEach(() => {
  for (const host of open.splice(0)) host.close();
});

interface Run {
  readonly exit: VmExit;
  readonly text: string;
  readonly summary: PseriesSummary;
}

function config(kernel: Uint8Array, write: (bytes: Uint8Array) => void, more: Partial<VmConfig> = {}): VmConfig {
  return { machine: "pseries", memoryBytes: 16 * MIB, kernel: { bytes: kernel }, console: { write }, ...more };
}

async function run(kernel: Uint8Array, more: Partial<VmConfig>, disk?: Uint8Array): Promise<Run> {
  const host = modelHost("power9", disk ? { disk } : {});
  open.push(host);
  let text = "";
  const write = (bytes: Uint8Array): void => {
    text += new TextDecoder().decode(bytes);
  };
  using vm = await createVm(host.spawn({ memlock: Number.POSITIVE_INFINITY }), config(kernel, write, more));
  const exit = await vm.run();
  return { exit, text, summary: vm.summary() };
}

describe("vmm accelerators: one machine behind both", () => {
  const guests: [string, Uint8Array][] = [
    ["prints and powers off", printAndEnd("Hello, pseries\n")],
    ["reboots", printAndEnd("bye\n", "reset")],
    ["touches an address where nothing is", probeNothing()],
    ["sleeps until its timer", sleepThenEnd(512_000 * 5)],
  ];
  for (const [name, kernel] of guests) {
    it(`a guest that ${name} does the same`, async () => {
      const [soft, kvm] = [await run(kernel, { accel: "soft" }), await run(kernel, { accel: "kvm" })];
      expect(kvm.text).toBe(soft.text);
      expect(kvm.exit).toEqual(soft.exit);
      expect(kvm.summary.rtasCalls).toEqual(soft.summary.rtasCalls);
      expect(kvm.summary.exits.strayMmio).toBe(soft.summary.exits.strayMmio);
      expect([soft.summary.accelerator, kvm.summary.accelerator]).toEqual(["soft", "kvm"]);
    });
  }

  it("a program that drives a passed-through disk with its own TCEs says and does the same", async () => {
    const bytes = 64 << 10;
    const runs: Run[] = [];
    for (const accel of ["soft", "kvm"] as const) {
      const disk = new Uint8Array(MIB);
      disk.set(diskPattern(bytes));
      const devices = [{ driver: "vfio-pci", host: "0001:01:00.0", id: "disk" }] as const;
      runs.push(await run(bareDiskProgram({ bytes }), { accel, devices, memoryBytes: 64 * MIB }, disk));
      expect(disk.slice(bytes, 2 * bytes)).toEqual(diskPattern(bytes, WRITE_PATTERN));
    }
    const [soft, kvm] = runs as [Run, Run];
    expect(soft.text).toContain("minivmm-bare: PASS");
    expect(kvm.text).toBe(soft.text);
    expect(kvm.summary.rtasCalls).toEqual(soft.summary.rtasCalls);
    const calls = (summary: PseriesSummary, name: string): number =>
      (summary.tce.userSpace[name] ?? 0) + (summary.tce.virtualMode?.[name] ?? 0) + (summary.tce.realMode?.[name] ?? 0);
    for (const name of ["H_PUT_TCE", "H_STUFF_TCE", "H_PUT_TCE_INDIRECT"]) {
      expect(calls(kvm.summary, name)).toBe(calls(soft.summary, name));
      expect(calls(kvm.summary, name)).toBeGreaterThan(0);
    }
  });
});

describe("vmm accelerators: kvm", () => {
  it("counts hypercalls by the stage that answered them", async () => {
    const { summary } = await run(sleepThenEnd(512_000 * 100), { accel: "kvm" });
    expect(summary.kernelHypercalls).toEqual({ H_CEDE: 1 });
    expect(summary.hypercalls).toEqual({});
    expect(summary.exits).toMatchObject({ rtas: 1, hypercall: 0, idle: 1 });
    expect(summary.idleMs).toBeGreaterThan(0);
    expect(summary.instructions).toBeGreaterThan(10);
    expect(summary.cpu).toMatchObject({ halt_successful_wait: 1 });
    expect((await run(printAndEnd("x\n"), {})).summary).not.toHaveProperty("kernelHypercalls");
  });

  it("can be stopped while the guest spins and while it sleeps, and before it runs", async () => {
    for (const [guest, ms] of [
      [spin(), 5],
      [sleepLong(), 5],
      [spin(), -1],
    ] as const) {
      const host = modelHost("power9");
      open.push(host);
      const vm = await createVm(
        host.spawn(),
        config(guest, () => {}, { accel: "kvm" }),
      );
      if (ms < 0) vm.stop();
      const exit = vm.run();
      if (ms >= 0) setTimeout(() => vm.stop(), ms);
      expect(await exit).toEqual({ status: 0, reason: "stopped" });
      vm.close();
      vm.close();
      expect(vm.summary().instructions).toBeGreaterThanOrEqual(0);
      expect(host.kvm.vms.size).toBe(0);
    }
  });

  it("reports a CPU that cannot go on", async () => {
    const a = new Assembler({ origin: 0x1_0000 });
    a.li64(r12, 0x7000_0000n);
    a.mtctr(r12);
    a.bctr();
    const { buildElf, PF_R, PF_X } = await import("@minivmm/ppc64/asm");
    const kernel = buildElf({
      entry: 0x1_0000,
      segments: [{ address: 0x1_0000, bytes: a.bytes(), flags: PF_R | PF_X }],
    });
    const { exit } = await run(kernel, { accel: "kvm" });
    expect(exit).toMatchObject({ status: 1, reason: "halt", message: expect.stringContaining("KVM cannot go on") });
  });

  it("is refused in one line where there is none, with what to do instead", async () => {
    const refused = async (host: Parameters<typeof createVm>[0]): Promise<unknown> =>
      createVm(
        host,
        config(printAndEnd("x"), () => {}, { accel: "kvm" }),
      ).catch((error: unknown) => error);
    for (const [name, why] of [
      ["desktop", "needs a POWER kernel, this one is x86_64"],
      ["powernv8", "runs no virtual CPUs"],
    ] as const) {
      const model = modelHost(name);
      open.push(model);
      const host = model.spawn();
      expect(await refused(host)).toMatchObject({
        code: "USAGE_ACCEL",
        message: expect.stringContaining(why),
        hint: expect.stringContaining("leave out -enable-kvm"),
      });
      expect(host.fds.list()).toEqual([]);
    }
    expect(await refused(realHost())).toMatchObject({ code: "USAGE_ACCEL" });
    const gone = modelHost("power9");
    open.push(gone);
    gone.kvm.close();
    expect(await refused(gone.spawn())).toMatchObject({ message: expect.stringContaining("cannot open /dev/kvm") });
  });

  it("has the host's time only", async () => {
    const host = modelHost("power9");
    open.push(host);
    const more = { accel: "kvm", clock: "instructions" } as const;
    await expect(
      createVm(
        host.spawn(),
        config(printAndEnd("x"), () => {}, more),
      ),
    ).rejects.toMatchObject({ code: "USAGE_CONFIG", hint: expect.stringContaining("-enable-kvm") });
  });
});

describe("vmm accelerators: the RTAS entry under KVM", () => {
  const ENTRY = 0x2_0000;
  const made = (): Cpu => {
    const cpu = Cpu.create({ ramBytes: MIB, decodePages: 16 });
    new Uint8Array(cpu.memory.buffer, cpu.ramOffset).set(rtasFirmware(), ENTRY);
    return cpu;
  };

  it("hands the frame on from either byte order, and returns", () => {
    for (const msr of [0x1002n, 0x8000000000001003n]) {
      const cpu = made();
      const a = new Assembler({ origin: 0x1_0000 });
      a.li64(r4, ENTRY);
      a.mtspr(SPR_SRR0, r4);
      a.li64(r4, msr);
      a.mtspr(SPR_SRR1, r4);
      a.rfid();
      new Uint8Array(cpu.memory.buffer, cpu.ramOffset).set(a.bytes(), 0x1_0000);
      cpu.pc = 0x1_0000n;
      cpu.msr = 0x8000000000000001n;
      cpu.lr = 0x8765_4320n;
      cpu.gpr64[3] = 0x1234_5678n;
      expect(cpu.run(1000)).toBe(ExitReason.hcall);
      expect([cpu.gpr64[3], cpu.gpr64[4], cpu.msr]).toEqual([0xf000n, 0x1234_5678n, msr]);
      expect(cpu.run(1000)).toBe(ExitReason.halt);
      expect(cpu.pc).toBe(0x8765_4320n);
    }
  });
});
