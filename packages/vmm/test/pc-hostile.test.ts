// What neither guest nor host can bring about on machine pc with passed-through functions: an exception, an access to
// memory that is not the guest's, or something that stays taken when the VM is closed.
import { EINVAL, ENOMEM, MinivmmError, O_RDWR } from "@minivmm/host";
import type { ModelProcess } from "@minivmm/host/model";
import { kvmRequests } from "@minivmm/kvm";
import { type ModelledHost, modelHostDescription } from "@minivmm/model-host";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PcBox } from "../src/accel/x86/box.ts";
import type { PcDeviceConfig } from "../src/machines/pc/devices.ts";
import { ECAM, MEM32_WINDOW, PORT_PCI_ADDRESS, PORT_PCI_DATA } from "../src/machines/pc/memory-map.ts";
import { makeBox, PcBench, RAM_BYTES, registersAsMemory, spawn, stillHost } from "./pc-bench.ts";
import { NvmeGuest } from "./pc-nvme.ts";

const vfio = (host: string, rest: object = {}): PcDeviceConfig => ({ driver: "vfio-pci", host, ...rest });
const MODERN = { ...modelHostDescription("desktop"), kernelConfig: { iommufd: true, deviceCdev: true } };
const iommufd = { id: "i" };

function expectNothingTaken(process: ModelProcess, model: ModelledHost): void {
  const { lockedPages, pinnedPages } = process.mm;
  expect({ descriptors: process.fds.list(), lockedPages, pinnedPages, vms: model.kvm.vms.size }).toEqual({
    descriptors: [],
    lockedPages: 0,
    pinnedPages: 0,
    vms: 0,
  });
  const other = model.spawn();
  for (const { nodeName } of model.vfio.groups.values()) {
    expect(other.open(`/dev/vfio/${nodeName}`, O_RDWR)).toBeGreaterThanOrEqual(0);
  }
  other.exit();
}

describe("pc passthrough: a host that refuses", () => {
  const CASES: readonly (readonly [string, readonly PcDeviceConfig[]])[] = [
    ["a container", [vfio("02:00.0"), vfio("04:01.0")]],
    ["iommufds", [vfio("02:00.0", { iommufd }), vfio("00:05.0", { iommufd })]],
  ];

  /** Has the process's `n`th system call from now on fail. Returns an end of that, which tells whether it was made. */
  function refuse(process: ModelProcess, n: number, errno: number): () => boolean {
    let calls = 0;
    const { ioctl, eventfd, open } = process;
    const { KVM_GET_VCPU_MMAP_SIZE: constant } = kvmRequests(process.arch);
    // The size of a structure is nothing that a kernel could refuse.
    process.ioctl = (...args) => (args[1] !== constant && ++calls === n ? -errno : ioctl.apply(process, args));
    process.eventfd = (...args) => (++calls === n ? -errno : eventfd.apply(process, args));
    process.open = (...args) => (++calls === n ? -errno : open.apply(process, args));
    return () => {
      Object.assign(process, { ioctl, eventfd, open });
      return calls >= n;
    };
  }

  it.each(CASES)("one call after the other: nothing stays taken of %s", (_what, devices) => {
    const outcomes = { refused: 0, without: 0 };
    const { model } = stillHost(MODERN);
    for (let n = 1, made = true; made; n++) {
      const process = spawn(model);
      const end = refuse(process, n, n % 2 === 0 ? EINVAL : ENOMEM);
      let box: PcBox | undefined;
      try {
        box = makeBox(process, devices);
        outcomes.without++;
      } catch (error) {
        if (!(error instanceof MinivmmError)) throw error;
        outcomes.refused++;
      }
      made = end();
      box?.close();
      expectNothingTaken(process, model);
      process.exit();
    }
    model.close();
    expect(outcomes.refused).toBeGreaterThan(20);
    expect(outcomes.without).toBeGreaterThan(5);
  });

  it.each(CASES)(
    "while %s are given back: nobody hears of it, and the process's end does the rest",
    (_what, devices) => {
      const { model } = stillHost(MODERN);
      for (let n = 1, made = true; made; n++) {
        const process = spawn(model);
        const bench = new PcBench({ model, process, devices });
        const nvme = new NvmeGuest(bench, 1);
        nvme.start();
        for (const vector of [0, 3]) nvme.setVector(vector, 0x41);
        nvme.setMsix(true);
        bench.slot(2).setMsi(0x61);
        const end = refuse(process, n, EINVAL);
        bench.box.close();
        made = end();
        process.exit();
        expectNothingTaken(process, model);
      }
      model.close();
    },
  );
});

const NVME = "0000:01:00.0";
const EDU = "0000:00:05.0";
const FUNCTIONS = [NVME, EDU, "0000:05:00.0", "0000:00:1d.0", "0000:02:00.3"] as const;
const SLOTS = FUNCTIONS.map((_, index) => index + 1);

type Act = (guest: Guest) => void;

class Guest {
  readonly bench: PcBench;
  private readonly clock: { advance(ms: number): void };
  private readonly guards: readonly Uint8Array[];
  private readonly out = new Uint32Array(2);

  constructor({ model, clock }: ReturnType<typeof stillHost>) {
    const process = spawn(model);
    registersAsMemory(process);
    const guard = (): Uint8Array => {
      const bytes = new Uint8Array(new SharedArrayBuffer(GUARD_BYTES)).fill(GUARD);
      process.addressOf(bytes);
      return bytes;
    };
    const below = guard();
    this.clock = clock;
    this.bench = new PcBench({ model, process, devices: FUNCTIONS.map((bdf) => vfio(bdf)) });
    this.guards = [below, guard()];
  }

  memory(write: boolean, address: number, width: 1 | 2 | 4 | 8, [lo, hi]: readonly [number, number]): void {
    const { machine } = this.bench.box;
    if (write) {
      machine.writeMemory(address, width, lo, hi);
      return;
    }
    machine.readMemory(address, width, this.out);
    expect(this.out[0]).toBeLessThan(2 ** Math.min(width * 8, 32));
    if (width < 8) expect(this.out[1] === 0 || address < 0).toBe(true);
  }

  port(write: boolean, port: number, width: 1 | 2 | 4, value: number): void {
    const { machine } = this.bench.box;
    if (write) {
      machine.writePort(port, width, value);
      return;
    }
    const read = machine.readPort(port, width);
    expect(read >= 0 && read < 2 ** (width * 8)).toBe(true);
  }

  advance(ms: number): void {
    this.clock.advance(ms);
  }

  /** Memory that KVM shows the guest is its RAM, or what the guest has put a BAR over and lets be decoded. */
  check(): void {
    const { vm, box } = this.bench;
    const { mem64 } = box.machine.bridge;
    const decoded = box.machine.bridge.slots.flatMap(({ endpoint }) =>
      endpoint.bars.map((bar) => ({ start: endpoint.barAddress(bar), size: bar.size })),
    );
    const inside = (ranges: readonly { start: number; size: number }[], start: number, size: number): boolean =>
      ranges.some((range) => range.start >= 0 && start >= range.start && start + size <= range.start + range.size);
    for (const { start, size } of vm.slots.values()) {
      if (start === 0 && size === RAM_BYTES) continue;
      expect(inside(decoded, start, size) && inside([MEM32_WINDOW, mem64], start, size)).toBe(true);
    }
  }

  end(): void {
    const { bench } = this;
    for (const { problems } of bench.box.devices.deviceSummaries()) expect(problems.length).toBeLessThan(12);
    for (const bytes of this.guards) expect(bytes.every((byte) => byte === GUARD)).toBe(true);
    bench.box.close();
    expectNothingTaken(bench.process, bench.model);
    bench.process.exit();
    for (const bdf of FUNCTIONS)
      if (bench.model.topology.get(bdf).driver === null) bench.model.vfio.bind(bdf, "vfio-pci");
  }
}

const GUARD = 0xa5;
const GUARD_BYTES = 0x1_0000;
const word = fc.nat(0xffff_ffff);
const value = fc.oneof(fc.constantFrom(0, 1, 0xffff_ffff, 0x8000_0000), fc.nat(0x400), word);
const slot = fc.constantFrom(...SLOTS);
const width = fc.constantFrom(1, 2, 4, 8) as fc.Arbitrary<1 | 2 | 4 | 8>;
/** Bus addresses where RAM ends, and such as no IOMMU has. */
const busAddress = fc.oneof(
  { arbitrary: fc.nat(RAM_BYTES / 4096 + 1).map((page) => page * 4096), weight: 4 },
  fc.nat(RAM_BYTES + 0x2000),
  fc.constantFrom(RAM_BYTES - 8, 0xfee0_0000, 0xffff_f000, 2 ** 32, 2 ** 40, 2 ** 52),
);

const register: fc.Arbitrary<Act> = fc
  .tuple(
    slot,
    fc.constantFrom(0, 0, 0, 1, 3),
    fc.oneof(fc.nat(0x80), fc.nat(0x4008), fc.constantFrom(0x2000, 0x200c, 0x3000, 0xf_fffc)),
    width,
    fc.boolean(),
    value,
  )
  .map(([at, bar, offset, bytes, write, lo]) => (guest) => {
    guest.memory(write, guest.bench.slot(at).bar(bar) + offset, bytes, [lo, lo]);
  });
const anywhere: fc.Arbitrary<Act> = fc
  .tuple(
    fc.boolean(),
    fc.oneof(
      fc.nat(0x2000_0000).map((at) => 0xc000_0000 + at),
      fc.maxSafeNat(),
    ),
    width,
    word,
  )
  .map(
    ([write, address, bytes, lo]) =>
      (guest) =>
        guest.memory(write, address, bytes, [lo, 0]),
  );
const configRegister = fc.oneof(
  {
    arbitrary: fc.constantFrom(4, 6, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30, 0x3c, 0x42, 0x44, 0x50, 0xa2, 0xd0),
    weight: 4,
  },
  fc.nat(0xfff),
);
const configValue = fc.oneof(
  value,
  fc.constantFrom(6, 7, 0x406, 0x8000, 0xc000, 0xc000_0000, 0xc010_0000, 0xd000, 0x81),
);
const ecam: fc.Arbitrary<Act> = fc
  .tuple(fc.oneof({ arbitrary: slot, weight: 5 }, fc.nat(31)), configRegister, width, fc.boolean(), configValue)
  .map(([at, offset, bytes, write, lo]) => (guest) => {
    guest.memory(write, ECAM.start + (at << 15) + offset, bytes, [lo, lo]);
  });
const byPorts: fc.Arbitrary<Act> = fc.tuple(slot, configRegister, configValue).map(([at, offset, lo]) => (guest) => {
  guest.port(true, PORT_PCI_ADDRESS, 4, (0x8000_0000 | (at << 11) | (offset & 0xfc)) >>> 0);
  guest.port(true, PORT_PCI_DATA, 4, lo);
});
const port: fc.Arbitrary<Act> = fc
  .tuple(
    fc.boolean(),
    fc.oneof(
      fc.nat(0xffff),
      fc.nat(0x80).map((at) => 0xc000 + at),
    ),
    fc.constantFrom(1, 2, 4),
    word,
  )
  .map(
    ([write, at, bytes, lo]) =>
      (guest) =>
        guest.port(write, at, bytes as 1 | 2 | 4, lo),
  );

/** Queues anywhere, with whatever is there as commands. */
const nvme: fc.Arbitrary<Act> = fc
  .tuple(busAddress, busAddress, fc.nat(20), fc.nat(12))
  .map(([queues, data, vector, tail]) => (guest) => {
    const driver = new NvmeGuest(guest.bench, 1, Math.min(queues, RAM_BYTES - 0x2000));
    driver.start();
    driver.fn.setReg(0x30, queues, 8);
    driver.setVector(vector % 8, 0x41);
    driver.setMsix(vector % 2 === 0);
    driver.identify(data);
    driver.fn.setReg(0x28, queues, 8);
    driver.fn.setReg(0x14, 0x46_0001);
    driver.fn.setReg(0x1000, tail);
  });
const edu: fc.Arbitrary<Act> = fc
  .tuple(busAddress, fc.nat(4096), fc.nat(7), fc.boolean())
  .map(([address, count, command, msi]) => (guest) => {
    const fn = guest.bench.slot(2);
    fn.enable();
    fn.setMsi(msi ? 0x61 : 0);
    fn.setReg(command & 2 ? 0x88 : 0x80, address, 8);
    fn.setReg(command & 2 ? 0x80 : 0x88, 0x4_0000, 8);
    fn.setReg(0x90, count, 8);
    fn.setReg(0x98, command | 1, 8);
    guest.advance(200);
  });
const pins: fc.Arbitrary<Act> = fc.tuple(fc.nat(30), fc.nat(3)).map(([gsi, raise]) => (guest) => {
  guest.bench.slot(2).setReg(raise & 1 ? 0x60 : 0x64, 3);
  guest.bench.vm.irqfds.endOfInterrupt(gsi);
});
const host: fc.Arbitrary<Act> = fc.constantFrom(...FUNCTIONS, "error").map((bdf) => (guest) => {
  const { vfio: core } = guest.bench.model;
  if (bdf !== "error") core.unbind(bdf);
  else if (core.device(NVME)?.openCount) core.device(NVME)?.state.irqs.err.signal();
});

const act = fc.oneof(
  { arbitrary: register, weight: 6 },
  { arbitrary: ecam, weight: 8 },
  { arbitrary: byPorts, weight: 2 },
  { arbitrary: anywhere, weight: 2 },
  { arbitrary: port, weight: 2 },
  { arbitrary: nvme, weight: 2 },
  { arbitrary: edu, weight: 2 },
  { arbitrary: pins, weight: 2 },
  { arbitrary: host, weight: 1 },
);

describe("pc passthrough: a hostile guest", () => {
  it("never throws, reaches nothing but its RAM, and leaves nothing behind", () => {
    const still = stillHost("q35");
    fc.assert(
      fc.property(fc.array(act, { minLength: 1, maxLength: 60, size: "max" }), (acts) => {
        const guest = new Guest(still);
        for (const each of acts) {
          each(guest);
          guest.check();
        }
        guest.end();
      }),
      { numRuns: 60 },
    );
    still.model.close();
  });
});
