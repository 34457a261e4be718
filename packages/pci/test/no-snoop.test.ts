// Requests that say No Snoop: which models send them, what DEVCTL has to say to it, and what a watcher of DMA is told.
import { describe, expect, test } from "vitest";
import { E1000eDevice, type E1000eOptions, edu } from "../src/devices/index.ts";
import { type DmaPort, type DmaRequest, mayNotSnoop, type PciDevice, PciTopology, TLP_NO_SNOOP } from "../src/index.ts";
import { FakeMemory } from "./support/memory.ts";

const EXPRESS = 0x10;
const DEVCTL_NOSNOOP = 0x0800;
const EDU_BUFFER = 0x4_0000;

interface Seen {
  readonly write: boolean;
  readonly at: number;
  readonly length: number;
  readonly noSnoop: boolean;
}

/** Memory that takes note of what each request said. */
function noting(memory: FakeMemory): { port: DmaPort; seen: Seen[] } {
  const seen: Seen[] = [];
  const note = (write: boolean, at: number, length: number, attributes = 0): void => {
    seen.push({ write, at, length, noSnoop: (attributes & TLP_NO_SNOOP) !== 0 });
  };
  const port: DmaPort = {
    read: (hi, lo, into, attributes) => {
      note(false, lo, into.length, attributes);
      return memory.read(hi, lo, into);
    },
    write: (hi, lo, from, attributes) => {
      note(true, lo, from.length, attributes);
      return memory.write(hi, lo, from);
    },
  };
  return { port, seen };
}

function devctl(device: PciDevice): number {
  return device.config.findCapability(EXPRESS) + 8;
}

/** edu copies 16 bytes from memory, and back to it. */
function eduCopies(device: PciDevice): void {
  const write = (offset: number, value: number): void => device.writeBar(0, offset, 4, value, 0);
  for (const [from, to, command] of [
    [0x1000, EDU_BUFFER, 1],
    [EDU_BUFFER, 0x1800, 3],
  ] as const) {
    write(0x80, from);
    write(0x88, to);
    write(0x90, 16);
    write(0x98, command);
  }
}

describe("pci No Snoop: edu", () => {
  const now = (_: number, run: () => void) => {
    run();
    return { cancel: () => undefined };
  };

  test("says it only when it was made so, and while DEVCTL lets it", () => {
    const plain = edu({ after: now });
    const loose = edu({ after: now, noSnoop: true });
    expect([plain, loose].map((device) => mayNotSnoop(device))).toEqual([false, true]);
    for (const [device, steps] of [
      [plain, [false]],
      [loose, [true, false, true]],
    ] as const) {
      for (const expected of steps) {
        const { port, seen } = noting(new FakeMemory(0x1000, 0x1000));
        device.dma = port;
        eduCopies(device);
        expect(seen.map(({ noSnoop, write }) => [write, noSnoop])).toEqual([
          [false, expected],
          [true, expected],
        ]);
        const at = devctl(device);
        if (at > 8) device.config.write(at, 2, device.config.read(at, 2) ^ DEVCTL_NOSNOOP);
      }
    }
    loose.reset("power");
    expect(mayNotSnoop(loose)).toBe(true);
  });
});

describe("pci No Snoop: 82574L", () => {
  const [GCR, TCTL, RCTL, TDBAL, RDBAL] = [0x5b00, 0x400, 0x100, 0x3800, 0x2800];
  /** Of GCR: descriptors read and written back, data; transmission, then reception. */
  const KINDS = { read: 0x20, data: 0x08, written: 0x10, rxRead: 0x04, rxData: 0x01, rxWritten: 0x02 } as const;

  /** One frame through both rings by loopback: which kinds of requests said No Snoop. */
  function frame(bits: number, options: E1000eOptions): string[] {
    const device = new E1000eDevice(options);
    const memory = new FakeMemory(0x1_0000, 0x1_0000);
    const { port, seen } = noting(memory);
    device.dma = port;
    device.config.write(4, 2, 6);
    const write = (offset: number, value: number): void => device.writeBar(0, offset, 4, value, 0);
    const places = { read: 0x1_1000, data: 0x1_2000, rxRead: 0x1_3000, rxData: 0x1_4000 };
    for (const [base, ring] of [
      [TDBAL, places.read],
      [RDBAL, places.rxRead],
    ] as const) {
      write(base, ring);
      write(base + 8, 128);
    }
    const set = (at: number, word: number): void => memory.view.setUint32(at - 0x1_0000, word, true);
    set(places.read, places.data);
    set(places.read + 8, 0x0900_0000 | 64);
    set(places.rxRead, places.rxData);
    memory.bytes.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff], places.data - 0x1_0000);
    write(GCR, bits);
    write(RDBAL + 0x18, 4);
    write(RCTL, 0x8042);
    write(TCTL, 2);
    write(TDBAL + 0x18, 1);
    const kind = ({ at, write: written }: Seen): string => {
      if (at >= places.rxData) return "rxData";
      if (at >= places.rxRead) return written ? "rxWritten" : "rxRead";
      if (at >= places.data) return "data";
      return written ? "written" : "read";
    };
    expect(new Set(seen.map(kind))).toEqual(new Set(Object.keys(KINDS)));
    return [...new Set(seen.filter(({ noSnoop }) => noSnoop).map(kind))];
  }

  test("each bit of GCR is for one kind of requests", () => {
    for (const [kind, bit] of Object.entries(KINDS)) expect(frame(bit, { transfers: true })).toEqual([kind]);
    expect(frame(0, { transfers: true })).toEqual([]);
  });

  test("DEVCTL that is fixed at 0 lets none be said", () => {
    expect(frame(0x3f, {})).toEqual([]);
  });
});

describe("pci No Snoop: on a topology", () => {
  function host() {
    const device = edu({
      noSnoop: true,
      dmaBits: 64,
      after: (_, run) => {
        run();
        return { cancel: () => undefined };
      },
    });
    const description = { domains: [{ devices: [{ at: "01.0", model: "loose" }] }] };
    const topology = PciTopology.fromDescription(description, { models: { loose: () => device } });
    const fn = topology.get("0000:00:01.0");
    const group = fn.group;
    if (group === null) throw new Error("no group");
    fn.writeConfig(4, 2, 6);
    return { device, topology, group, fn };
  }

  test("a watcher hears of each request and what became of it", () => {
    const { device, topology, group, fn } = host();
    const heard: [DmaRequest, boolean | "before"][] = [];
    topology.watchDma({
      before: (request) => heard.push([request, "before"]),
      after: (request, done) => heard.push([request, done]),
    });
    eduCopies(device);
    const request = { function: fn.name, hi: 0, lo: 0x1000, length: 16, write: false, noSnoop: true };
    expect(heard.slice(0, 2)).toEqual([
      [request, "before"],
      [request, false],
    ]);
    heard.length = 0;
    const memory = new FakeMemory(0x1000, 0x1000);
    group.domain = { name: "flat", read: memory.read.bind(memory), write: memory.write.bind(memory) };
    eduCopies(device);
    expect(heard.map(([{ write, noSnoop }, done]) => [write, noSnoop, done])).toEqual([
      [false, true, "before"],
      [false, true, true],
      [true, true, "before"],
      [true, true, true],
    ]);
    heard.length = 0;
    // The IOMMU makes them snoop; a function that may not make requests makes none.
    group.enforcesSnoop = true;
    eduCopies(device);
    expect(heard.every(([{ noSnoop }]) => !noSnoop)).toBe(true);
    heard.length = 0;
    fn.writeConfig(4, 2, 2);
    eduCopies(device);
    expect(heard).toEqual([]);
    topology.watchDma(null);
    fn.writeConfig(4, 2, 6);
    eduCopies(device);
    expect(heard).toEqual([]);
    group.releaseDmaOwner();
    expect(group.enforcesSnoop).toBe(false);
  });
});
