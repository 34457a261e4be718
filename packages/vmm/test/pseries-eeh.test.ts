// EEH as a guest sees it: RTAS calls of a machine without a CPU, over the modelled POWER9 whose PE really freezes.
import { type ModelledHost, modelHost } from "@minivmm/model-host";
import { VFIO_EEH_PE_STATE_NORMAL as NORMAL, VFIO_EEH_PE_STATE_STOPPED as STOPPED } from "@minivmm/spapr-iommu";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DmaWindows } from "../src/machines/pseries/ddw.ts";
import { pseriesDeviceTree } from "../src/machines/pseries/device-tree.ts";
import { EehContainers, type EehOps } from "../src/machines/pseries/eeh.ts";
import { IRQ_MSI_FIRST, PHB_BUID_HI, PHB_BUID_LO, pciLiobn } from "../src/machines/pseries/memory-map.ts";
import { Phb } from "../src/machines/pseries/phb.ts";
import { EEH_CALL_NAMES } from "../src/machines/pseries/rtas/eeh.ts";
import * as T from "../src/machines/pseries/rtas/tokens.ts";
import { SpaprSession } from "../src/pci/spapr-session.ts";
import { VfioPciEndpoint } from "../src/pci/vfio-pci.ts";
import { type Bench, bench, RAM_BYTES } from "./fakes.ts";

const BUID = [PHB_BUID_HI, PHB_BUID_LO] as const;
const EDU = "0002:01:00.0";
const NVME = "0001:01:00.0";
/** Slots of the passed-through function and of the emulated one. */
const SLOT2 = 0x1000;
const SLOT1 = 0x800;
const PE = 1;
const RESET = 1;
const STOPPED_DMA = 4;

const TOKENS = [
  [T.RTAS_IBM_SET_EEH_OPTION, 4, 1],
  [T.RTAS_IBM_GET_CONFIG_ADDR_INFO2, 4, 2],
  [T.RTAS_IBM_READ_SLOT_RESET_STATE2, 3, 4],
  [T.RTAS_IBM_SET_SLOT_RESET, 4, 1],
  [T.RTAS_IBM_CONFIGURE_PE, 3, 1],
  [T.RTAS_IBM_SLOT_ERROR_DETAIL, 8, 1],
] as const;

let model: ModelledHost;
let b: Bench;
const sessions: SpaprSession[] = [];

/** A container of its own with these functions, plugged from slot `first` on. */
function passThrough(functions: readonly string[], first = 2): VfioPciEndpoint[] {
  const host = model.spawn({ memlock: Number.POSITIVE_INFINITY });
  const session = new SpaprSession({ host, ram: b.ram, windows: b.machine.tables.on(DmaWindows.liobns) });
  sessions.push(session);
  b.machine.eeh.add(session);
  return functions.map((bdf, index) => {
    const endpoint = new VfioPciEndpoint(bdf, host, session.open(bdf));
    b.machine.phb.plug(endpoint, first + index);
    return endpoint;
  });
}

const option = (value: number, address = PE): number =>
  b.rtas(T.RTAS_IBM_SET_EEH_OPTION, [address, ...BUID, value], 1)[0]!;
const reset = (value: number): number => b.rtas(T.RTAS_IBM_SET_SLOT_RESET, [PE, ...BUID, value], 1)[0]!;
const state = (nret = 4): number[] => b.rtas(T.RTAS_IBM_READ_SLOT_RESET_STATE2, [PE, ...BUID], nret);
const configurePe = (): number => b.rtas(T.RTAS_IBM_CONFIGURE_PE, [PE, ...BUID], 1)[0]!;
const info = (address: number, what: number): number[] =>
  b.rtas(T.RTAS_IBM_GET_CONFIG_ADDR_INFO2, [address, ...BUID, what], 2);
const readConfig = (register: number, size: number): number =>
  b.rtas(T.RTAS_IBM_READ_PCI_CONFIG, [SLOT2 | register, ...BUID, size], 2)[1]!;
const writeConfig = (register: number, size: number, value: number): number =>
  b.rtas(T.RTAS_IBM_WRITE_PCI_CONFIG, [SLOT2 | register, ...BUID, size, value], 1)[0]!;

beforeEach(() => {
  model = modelHost("power9");
  b = bench({ dmaWindowBytes: 0x4000_0000 });
});

afterEach(() => {
  vi.useRealTimers();
  b.machine.close();
  for (const session of sessions.splice(0)) session.close();
  model.close();
});

describe("vmm pseries EEH: who has it", () => {
  it("answers -3 to every call while nothing is passed through, with two containers, and with two groups", () => {
    const all = (): number[] => TOKENS.map(([token, nargs, nret]) => b.rtas(token, callArgs(nargs), nret)[0]!);
    const callArgs = (nargs: number): number[] => [SLOT2, ...BUID, ...[1, 0, 0, 0, 1].slice(0, nargs - 3)];
    const none = TOKENS.map(() => -3);
    expect(all()).toEqual(none);
    expect(b.machine.eeh.offered).toBe(false);
    passThrough([EDU]);
    expect(all()).toEqual([0, 0, 0, 0, 0, 1]);
    expect(b.machine.eeh.offered).toBe(true);
    passThrough([NVME], 3);
    expect(all()).toEqual(none);
    expect(b.machine.eeh.offered).toBe(false);
    sessions.pop()!.close();
    expect(all()[0]).toBe(0);
    sessions[0]!.open(NVME);
    expect(all()).toEqual(none);
  });

  it("is offered only by a host that has it, where each call tells how the container failed", () => {
    const gone = (): number => -19;
    const ops: EehOps = {
      enable: gone,
      disable: gone,
      state: gone,
      thawIo: gone,
      thawDma: gone,
      resetHot: gone,
      resetFundamental: gone,
      resetDeactivate: gone,
      configure: gone,
    };
    b.machine.eeh.add({ groupCount: 1, eeh: ops, hasEeh: false });
    expect(b.machine.eeh.offered).toBe(false);
    expect([0, 2, 3].map((value) => option(value))).toEqual([-1, -1, -1]);
    expect([0, 1, 3].map((value) => reset(value))).toEqual([-1, -1, -1]);
    expect([state()[0], configurePe()]).toEqual([-3, -3]);
  });

  it("is looked for in one container with one group", () => {
    const containers = new EehContainers();
    const eeh = {} as EehOps;
    containers.add({ groupCount: 0, eeh: undefined, hasEeh: false });
    expect(containers.ops).toBeUndefined();
    containers.add({ groupCount: 1, eeh, hasEeh: true });
    expect(containers.ops).toBe(eeh);
    containers.add({ groupCount: 2, eeh, hasEeh: true });
    expect(containers.ops).toBeUndefined();
  });

  it("starts a guest with a PE that works, whatever the one before left", () => {
    passThrough([EDU]);
    model.faults.freezePe(EDU);
    expect(state()[1]).toBe(STOPPED);
    b.machine.eeh.reenable();
    expect(state()[1]).toBe(NORMAL);
  });

  it("is in the device tree exactly when it is offered", () => {
    const rtas = (eeh: boolean): readonly string[] => {
      const { machine } = b;
      const tree = pseriesDeviceTree({
        ramBytes: RAM_BYTES,
        append: "",
        initrd: undefined,
        rtasEntry: machine.rtasEntry,
        rtasTokens: machine.rtas.tokens(),
        slots: machine.phb.slots,
        dmaWindowBytes: 0x4000_0000,
        ddw: true,
        eeh,
      });
      return Object.entries(tree.children.find(({ name }) => name === "rtas")!.properties).flatMap(([name, value]) =>
        value === undefined ? [] : [name],
      );
    };
    expect(EEH_CALL_NAMES.size).toBe(6);
    const added = [...EEH_CALL_NAMES, "rtas-error-log-max"].sort();
    const without = new Set(rtas(false));
    expect(
      rtas(true)
        .filter((name) => !without.has(name))
        .sort(),
    ).toEqual(added);
    expect(without.has("ibm,query-pe-dma-window")).toBe(true);
  });
});

describe("vmm pseries EEH: calls", () => {
  beforeEach(() => {
    passThrough([EDU]);
  });

  it("tells the PE of a function, and that it is shared", () => {
    expect(info(SLOT2, 0)).toEqual([0, 1]);
    expect(info(SLOT1, 0)).toEqual([0, 1]);
    expect(info(SLOT2, 1)).toEqual([0, 2]);
    expect(info(0x1800, 0)[0]).toBe(-3);
    expect(info(0x10000 | SLOT2, 0)[0]).toBe(-3);
    expect(info(SLOT2, 2)[0]).toBe(-3);
  });

  it("tells the state in four and in five results", () => {
    expect(state()).toEqual([0, 0, 1, 1000]);
    expect(state(5)).toEqual([0, 0, 1, 1000, 0]);
  });

  it("enables EEH for a function or a PE of the bus, and not for another bus", () => {
    expect([option(1), option(1, SLOT2), option(1, SLOT1)]).toEqual([0, 0, 0]);
    expect(option(1, 0x1_0001)).toBe(-3);
    expect(option(0)).toBe(0);
  });

  it.each([4, 5, 0x8000_0001, 0xffff_ffff])("refuses the unknown option %d, and nothing happens", (value) => {
    expect(option(value)).toBe(-3);
    expect(reset(value)).toBe(-3);
    expect(reset(2)).toBe(-3);
    expect(state()[1]).toBe(NORMAL);
  });

  it("has no log, and leaves the buffers that are handed to it alone", () => {
    const detail = (severity: number, buffer: number, length: number): number => {
      const args = [PE, ...BUID, buffer, length, buffer, length, severity];
      return b.rtas(T.RTAS_IBM_SLOT_ERROR_DETAIL, args, 1)[0]!;
    };
    b.ram.setU32be(0x8000, 0x12345678);
    expect([detail(1, 0x8000, 2048), detail(2, 0x8000, 2048)]).toEqual([1, 1]);
    expect(detail(1, 0xffff_fff0, 0xffff_ffff)).toBe(1);
    expect([detail(0, 0x8000, 64), detail(3, 0x8000, 64)]).toEqual([-3, -3]);
    expect(b.ram.u32be(0x8000)).toBe(0x12345678);
    expect(b.guardIntact()).toBe(true);
  });

  it("answers any words in any order with a status, and a reset brings the PE back", () => {
    const word = fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, SLOT2, ...BUID), fc.nat(0xffff_ffff));
    const call = fc.record({
      token: fc.constantFrom(...TOKENS.map(([token]) => token)),
      bridge: fc.boolean(),
      words: fc.array(word, { maxLength: 9 }),
      nret: fc.nat({ max: 6 }),
    });
    fc.assert(
      fc.property(fc.array(call, { maxLength: 12 }), (calls) => {
        for (const { token, bridge, words, nret } of calls) {
          const args = bridge && words.length > 2 ? [words[0]!, ...BUID, ...words.slice(3)] : words;
          const shape = TOKENS.find(([known]) => known === token)!;
          const status = b.rtas(token, args, nret)[0];
          const fits = args.length === shape[1] && (nret === shape[2] || (shape[2] === 4 && nret === 5));
          if (nret > 0) expect(fits ? [0, 1, -1, -3] : [-3]).toContain(status);
          if (nret > 0 && !(args[1] === BUID[0] && args[2] === BUID[1])) expect(status).toBe(-3);
        }
        expect([reset(1), state()[1], reset(0), configurePe(), state()[1]]).toEqual([0, RESET, 0, 0, NORMAL]);
        expect(b.guardIntact()).toBe(true);
      }),
    );
  });
});

const BAR = 0x2000_9000_0000;
const REG_IDENT = 0;
const IDENT = 0x0100_00ed;
const EDU_BUFFER = 0x4_0000;
const OUTSIDE = 0x7000_0000;
const MSI = 0x40;

describe("vmm pseries EEH: a DMA outside the window", () => {
  const out = new Uint32Array(2);
  const load = (offset: number): number => {
    b.machine.mmioRead(BAR + offset, 4, out);
    return out[0]!;
  };
  const store = (offset: number, value: number): void => b.machine.mmioWrite(BAR + offset, 4, value, 0);

  /** Sets the function up as a driver does: BAR, memory and bus mastering, one message. */
  const setUp = (): void => {
    writeConfig(0x10, 4, 0x9000_0000);
    writeConfig(4, 2, 6);
    expect(b.rtas(T.RTAS_IBM_CHANGE_MSI, [SLOT2, ...BUID, 3, 1, 1], 4)).toEqual([0, 1, 2, 1]);
    writeConfig(MSI + 2, 2, readConfig(MSI + 2, 2) | 1);
    b.rtas(T.RTAS_IBM_SET_XIVE, [IRQ_MSI_FIRST, 0, 5], 1);
  };
  /** The device writes eight bytes of its buffer to a bus address, and sends its message. */
  const dma = async (to: number): Promise<void> => {
    [EDU_BUFFER, to, 8, 7].forEach((value, index) => {
      store(0x80 + index * 8, value);
    });
    await vi.advanceTimersByTimeAsync(100);
  };
  const interrupted = (): boolean => {
    const irq = b.machine.xics.accept() & 0xff_ffff;
    if (irq !== 0) b.machine.xics.endOfInterrupt((0xff00_0000 | irq) >>> 0);
    store(0x64, 0xffff_ffff);
    return irq === IRQ_MSI_FIRST;
  };

  let endpoint: VfioPciEndpoint;
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    endpoint = passThrough([EDU])[0]!;
    expect(option(1)).toBe(0);
    setUp();
    b.machine.xics.setCppr(0xff);
    const table = b.machine.tables.find(pciLiobn(0))!;
    b.machine.tables.store(table, 1, 0, 0x3003);
  });

  it("freezes the PE; thaw, reset, deactivate, configure, and the device works again", async () => {
    const { ram } = b;
    ram.setU32be(0x3000, 0xaaaa_aaaa);
    await dma(0x1000);
    expect(interrupted()).toBe(true);
    expect(ram.u32be(0x3000)).toBe(0);

    ram.setU32be(0x3000, 0xaaaa_aaaa);
    await dma(OUTSIDE);
    expect(load(REG_IDENT)).toBe(0xffff_ffff);
    expect(state()[1]).toBe(STOPPED);
    // The message that ended the transfer was lost with it.
    expect(interrupted()).toBe(false);
    // Configuration space still answers.
    expect(readConfig(0, 4)).toBe(0x11e8_1234);

    expect(option(2)).toBe(0);
    expect(state()[1]).toBe(STOPPED_DMA);
    expect(load(REG_IDENT)).toBe(IDENT);
    await dma(0x1000);
    expect(interrupted()).toBe(false);
    expect(ram.u32be(0x3000)).toBe(0xaaaa_aaaa);

    expect(reset(1)).toBe(0);
    expect(state()[1]).toBe(RESET);
    expect(load(REG_IDENT)).toBe(0xffff_ffff);
    expect([option(2), option(3)]).toEqual([-1, -1]);
    expect(reset(0)).toBe(0);
    expect(configurePe()).toBe(0);
    expect(option(3)).toBe(0);
    expect(state()[1]).toBe(NORMAL);

    // Messages went off with the reset, in the guest's copy as well.
    expect(readConfig(MSI + 2, 2) & 1).toBe(0);
    setUp();
    expect(load(REG_IDENT)).toBe(IDENT);
    await dma(0x1000);
    expect(interrupted()).toBe(true);
    expect(ram.u32be(0x3000)).toBe(0);
    expect(endpoint.problems).toEqual([]);
  });

  it("lets the pin pass, which is the bridge's own interrupt and no message", async () => {
    writeConfig(MSI + 2, 2, readConfig(MSI + 2, 2) & ~1);
    const line = Phb.lsiOf(2, 1);
    b.rtas(T.RTAS_IBM_SET_XIVE, [line, 0, 5], 1);
    await dma(OUTSIDE);
    expect(state()[1]).toBe(STOPPED);
    expect(b.machine.xics.accept() & 0xff_ffff).toBe(line);
  });

  it("lets messages and DMA pass again once DMA is thawed, without a reset", async () => {
    await dma(OUTSIDE);
    expect(interrupted()).toBe(false);
    expect(option(3)).toBe(0);
    expect(state()[1]).toBe(NORMAL);
    await dma(0x1000);
    expect(interrupted()).toBe(true);
  });
});

describe("vmm pseries EEH: MSI-X across a reset", () => {
  it.each([1, 3])("goes off in the guest's copy and in the host, and can be set up anew (reset %d)", (kind) => {
    const endpoint = passThrough([NVME])[0]!;
    const change = (): number => b.rtas(T.RTAS_IBM_CHANGE_MSI, [SLOT2, ...BUID, 4, 2, 1], 4)[0]!;
    let at = readConfig(0x34, 1);
    while (readConfig(at, 1) !== 0x11) at = readConfig(at + 1, 1);
    for (let round = 0; round < 2; round++) {
      expect(change()).toBe(0);
      writeConfig(at + 2, 2, 0x8000);
      expect(model.topology.find(NVME)!.device.msix!.enabled).toBe(true);
      expect([reset(kind), reset(0), configurePe()]).toEqual([0, 0, 0]);
      expect(readConfig(at + 2, 2) & 0x8000).toBe(0);
      expect(model.topology.find(NVME)!.device.msix!.enabled).toBe(false);
      writeConfig(4, 2, 6);
    }
    expect(endpoint.problems).toEqual([]);
  });
});
