// A machine without a CPU on the modelled POWER9 host: real VFIO client, modelled kernel behind it.
import { O_RDWR } from "@minivmm/host";
import { H_PUT_TCE, H_SUCCESS } from "@minivmm/kvm";
import { type ModelledHost, modelHost } from "@minivmm/model-host";
import { iommuGroupOf } from "@minivmm/vfio-core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DmaWindows } from "../src/machines/pseries/ddw.ts";
import { TceTables } from "../src/machines/pseries/iommu.ts";
import { PHB_BUID_HI, PHB_BUID_LO, pciLiobn } from "../src/machines/pseries/memory-map.ts";
import * as T from "../src/machines/pseries/rtas/tokens.ts";
import { SpaprSession } from "../src/pci/spapr-session.ts";
import { VfioPciEndpoint } from "../src/pci/vfio-pci.ts";
import { type Bench, bench } from "./fakes.ts";

const NVME = "0001:01:00.0";
const SLOT2 = 0x1000;
const BUID = [PHB_BUID_HI, PHB_BUID_LO] as const;

let model: ModelledHost;
let b: Bench;
let session: SpaprSession;
let endpoint: VfioPciEndpoint;

beforeEach(() => {
  model = modelHost("power9");
  const host = model.spawn({ memlock: Number.POSITIVE_INFINITY });
  b = bench({ dmaWindowBytes: 0x4000_0000 });
  session = new SpaprSession({
    host,
    ram: b.ram,
    windows: b.machine.tables.on(DmaWindows.liobns),
  });
  endpoint = new VfioPciEndpoint("disk", host, session.open(NVME));
  b.machine.phb.plug(endpoint, 2);
});

afterEach(() => {
  b.machine.close();
  session.close();
  model.close();
});

describe("vmm passthrough on the modelled POWER9", () => {
  it("shows the guest the function's registers with BARs of its own", () => {
    const read = (register: number): number[] => b.rtas(T.RTAS_IBM_READ_PCI_CONFIG, [SLOT2 | register, ...BUID, 4], 2);
    expect(read(8)[1]! >>> 8).toBe(0x010802);
    b.rtas(T.RTAS_IBM_WRITE_PCI_CONFIG, [SLOT2 | 0x10, ...BUID, 4, 0xffffffff], 1);
    expect(read(0x10)[1]! & 0xf).toBe(4);
    expect(endpoint.bars[0]).toMatchObject({ index: 0, type: "mem64" });
    expect(endpoint.msixVectors).toBeGreaterThan(1);
  });

  it("begins with a function that decodes nothing and masters no bus, whatever the host has left on", () => {
    const [, command] = b.rtas(T.RTAS_IBM_READ_PCI_CONFIG, [SLOT2 | 4, ...BUID, 2], 2);
    expect(command! & 7).toBe(0);
  });

  it("reaches the device's registers through the BAR", () => {
    b.rtas(T.RTAS_IBM_WRITE_PCI_CONFIG, [SLOT2 | 0x10, ...BUID, 4, 0], 1);
    b.rtas(T.RTAS_IBM_WRITE_PCI_CONFIG, [SLOT2 | 0x14, ...BUID, 4, 0x2100], 1);
    b.rtas(T.RTAS_IBM_WRITE_PCI_CONFIG, [SLOT2 | 4, ...BUID, 2, 6], 1);
    const out = new Uint32Array(2);
    b.machine.mmioRead(0x2100_0000_0008, 4, out);
    expect(out[0]! >>> 16).toBe(1);
  });

  it("makes the guest's window in the host and maps what the guest maps", () => {
    expect(session.counters).toMatchObject({ windowsCreated: 1, windowErrors: 0 });
    expect(b.hcall(H_PUT_TCE, pciLiobn(0), 0x1000, 0x3003)).toBe(H_SUCCESS);
    expect(b.hcall(H_PUT_TCE, pciLiobn(0), 0x1000, 0)).toBe(H_SUCCESS);
    expect(session.counters).toMatchObject({ mapCalls: 1, unmapCalls: 1, mapErrors: 0, unmapErrors: 0, messages: [] });
  });

  it("opens a dynamic window with large guest pages on the host's smaller ones", () => {
    const made = b.rtas(T.RTAS_IBM_CREATE_PE_DMA_WINDOW, [SLOT2, ...BUID, 16, 20], 4);
    expect(made).toEqual([0, pciLiobn(1), 0x0800_0000, 0]);
    expect(b.hcall(H_PUT_TCE, pciLiobn(1), [0x0800_0000, 0], 0x2_0003)).toBe(H_SUCCESS);
    b.rtas(T.RTAS_IBM_REMOVE_PE_DMA_WINDOW, [pciLiobn(1)], 1);
    expect(session.counters).toMatchObject({ windowsCreated: 2, windowsRemoved: 1, mapErrors: 0, messages: [] });
  });

  it("switches the host to MSI-X as the guest does, without complaint", () => {
    b.rtas(T.RTAS_IBM_CHANGE_MSI, [SLOT2, ...BUID, 4, 2, 1], 4);
    let at = b.rtas(T.RTAS_IBM_READ_PCI_CONFIG, [SLOT2 | 0x34, ...BUID, 1], 2)[1]!;
    while (b.rtas(T.RTAS_IBM_READ_PCI_CONFIG, [SLOT2 | at, ...BUID, 1], 2)[1] !== 0x11) {
      at = b.rtas(T.RTAS_IBM_READ_PCI_CONFIG, [SLOT2 | (at + 1), ...BUID, 1], 2)[1]!;
      expect(at).toBeGreaterThan(0);
    }
    b.rtas(T.RTAS_IBM_WRITE_PCI_CONFIG, [SLOT2 | (at + 2), ...BUID, 2, 0x8000], 1);
    expect(b.rtas(T.RTAS_IBM_READ_PCI_CONFIG, [SLOT2 | (at + 2), ...BUID, 2], 2)[1]! & 0x8000).toBe(0x8000);
    b.rtas(T.RTAS_IBM_WRITE_PCI_CONFIG, [SLOT2 | (at + 2), ...BUID, 2, 0], 1);
    expect(endpoint.problems).toEqual([]);
  });

  it("refuses a function that the host's own driver holds, and says why", () => {
    expect(() => session.open("0000:01:00.0")).toThrow(expect.objectContaining({ code: expect.any(String) }));
    expect(() => session.open("0009:01:00.0")).toThrow(expect.objectContaining({ code: "NO_DEVICE" }));
  });

  it("refuses a dynamic window that the host cannot make, and the guest keeps its default one", () => {
    // Guest RAM and the table of the default window: 16 and 64 pages of 64 KiB, and nothing more may be locked.
    const host = model.spawn({ memlock: 80 * 0x1_0000 });
    const other = bench({ dmaWindowBytes: 0x4000_0000 });
    const own = new SpaprSession({
      host,
      ram: other.ram,
      windows: other.machine.tables.on(DmaWindows.liobns),
    });
    other.machine.phb.plug(new VfioPciEndpoint("edu", host, own.open("0002:01:00.0")), 2);
    expect(other.rtas(T.RTAS_IBM_CREATE_PE_DMA_WINDOW, [SLOT2, ...BUID, 16, 20], 4)[0]).toBe(-1);
    expect(other.rtas(T.RTAS_IBM_QUERY_PE_DMA_WINDOW, [SLOT2, ...BUID], 5)[1]).toBe(1);
    expect(other.hcall(H_PUT_TCE, pciLiobn(0), 0x1000, 0x3003)).toBe(H_SUCCESS);
    expect(own.counters).toMatchObject({ windowErrors: 1, mapErrors: 0 });
    other.machine.close();
    own.close();
  });

  it("works with descriptors that somebody with more rights opened, and leaves them open", () => {
    const host = model.spawn({ memlock: Number.POSITIVE_INFINITY });
    const containerFd = host.open("/dev/vfio/vfio", O_RDWR);
    const groupFd = host.open(`/dev/vfio/${iommuGroupOf(host, "0002:01:00.0")}`, O_RDWR);
    const own = new SpaprSession({ host, ram: bench().ram, windows: new TceTables().on([]), containerFd });
    expect(own.open("0002:01:00.0", groupFd).info().regions).toBeGreaterThan(6);
    own.close();
    expect(host.close(groupFd)).toBe(0);
    expect(host.close(containerFd)).toBe(0);
  });

  it("gives everything back, so that another process can take the function", () => {
    b.machine.close();
    session.close();
    const again = new SpaprSession({
      host: model.spawn({ memlock: Number.POSITIVE_INFINITY }),
      ram: b.ram,
      windows: new TceTables().on([]),
    });
    again.open(NVME);
    again.close();
  });
});
