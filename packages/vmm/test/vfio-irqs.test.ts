import type { Host } from "@minivmm/host";
import { beforeEach, describe, expect, it } from "vitest";
import { WatchedIrqDelivery } from "../src/pci/irq-delivery.ts";
import { ShadowFunction } from "../src/pci/shadow-function.ts";
import { type IrqDevice, VfioIrqs } from "../src/pci/vfio-irqs.ts";
import { TestFunction } from "./fakes.ts";

const FD0 = 100;

class NotedDevice implements IrqDevice {
  readonly log: string[] = [];
  answers: (number | Error)[] = [];
  setIrqs({ index, start, fds }: { index: number; start: number; fds: number[] }): number {
    this.log.push(`set ${index} ${start} [${fds.map((fd) => (fd < 0 ? fd : fd - FD0)).join()}]`);
    const answer = this.answers.shift() ?? 0;
    if (answer instanceof Error) throw answer;
    return answer;
  }
  disableIrqs(index: number): void {
    this.log.push(`disable ${index}`);
  }
  unmask(index: number): void {
    this.log.push(`unmask ${index}`);
  }
}

let device: NotedDevice;
let shadow: ShadowFunction;
let irqs: VfioIrqs;
let events: string[];
let fire: Map<number, () => void>;
let open: Set<number>;

beforeEach(() => {
  device = new NotedDevice();
  events = [];
  fire = new Map();
  open = new Set();
  let next = FD0;
  const host = {
    eventfd: () => {
      open.add(next);
      return next++;
    },
    watch: (fd: number, ready: () => void) => {
      fire.set(fd - FD0, ready);
      return { close: () => fire.delete(fd - FD0) };
    },
    read: () => 8,
    close: (fd: number) => {
      open.delete(fd);
      return 0;
    },
  } as unknown as Host;
  const physical = new TestFunction();
  shadow = new ShadowFunction({
    configSize: 256,
    readConfig: (offset, width) => physical.config.read(offset, width),
    barSize: (index) => physical.bars.find((bar) => bar.index === index)?.size ?? 0,
  });
  shadow.config.write(4, 2, 4);
  shadow.irq = { intx: () => {}, msi: (vector, _hi, _lo, data) => events.push(`message ${vector} ${data}`) };
  const problem = (message: string): number => events.push(`problem ${message}`);
  irqs = new VfioIrqs({
    delivery: new WatchedIrqDelivery(host, problem),
    device,
    shadow,
    sinks: { intx: (level) => events.push(`intx ${level}`), problem },
  });
  irqs.sync();
});

function enableMsix(): void {
  shadow.msix!.setControl(true);
  irqs.sync();
}

function unmaskVector(vector: number): void {
  shadow.msix!.program(vector, 0x400, 0, 0x1300 + vector, false);
  irqs.sync();
}

describe("vmm passthrough: interrupts", () => {
  it("starts with INTx, which the guest's end of interrupt unmasks", () => {
    expect(device.log).toEqual(["set 0 0 [0]"]);
    fire.get(0)!();
    expect(events).toEqual(["intx true"]);
    irqs.intxEnded();
    irqs.intxEnded();
    expect(events).toEqual(["intx true", "intx false"]);
    expect(device.log).toEqual(["set 0 0 [0]", "unmask 0"]);
  });

  it("switches to MSI-X with no vector connected until one is unmasked", () => {
    enableMsix();
    expect(device.log.slice(1)).toEqual(["disable 0", "set 2 0 [-1]"]);
    unmaskVector(0);
    expect(device.log.at(-1)).toBe("set 2 0 [1]");
    fire.get(1)!();
    expect(events).toEqual(["message 0 4864"]);
  });

  it("allocates again for a vector beyond those it has, and keeps the others", () => {
    enableMsix();
    unmaskVector(0);
    unmaskVector(3);
    expect(device.log.slice(-2)).toEqual(["disable 2", "set 2 0 [1,-1,-1,2]"]);
    unmaskVector(2);
    expect(device.log.at(-1)).toBe("set 2 2 [3]");
  });

  it("holds a masked vector's event and sends it at unmask", () => {
    enableMsix();
    unmaskVector(0);
    shadow.msix!.program(0, 0x400, 0, 0x1300, true);
    irqs.sync();
    fire.get(1)!();
    expect(events).toEqual([]);
    unmaskVector(0);
    expect(events).toEqual(["message 0 4864"]);
  });

  it("binds as many MSI vectors as the guest allowed, or as the host has", () => {
    shadow.config.write(shadow.msi!.offset + 2, 2, 0x21);
    device.answers = [2];
    irqs.sync();
    expect(device.log.slice(1)).toEqual(["disable 0", "set 1 0 [1,2,3,4]", "set 1 0 [1,2]"]);
    shadow.config.write(shadow.msi!.offset + 2, 2, 0);
    irqs.sync();
    expect(device.log.slice(-2)).toEqual(["disable 1", "set 0 0 [5]"]);
    expect([...open]).toEqual([FD0 + 5]);
  });

  it("reports a refusal, leaks no descriptor and does not throw", () => {
    device.answers = [new Error("EBUSY")];
    enableMsix();
    expect(events).toEqual(["problem enable msix: EBUSY"]);
    expect(open.size).toBe(0);
  });

  it("lets go of everything when disabled, lowering the pin", () => {
    fire.get(0)!();
    irqs.disable();
    expect(events).toEqual(["intx true", "intx false"]);
    expect(open.size).toBe(0);
    expect(device.log.at(-1)).toBe("disable 0");
  });
});

describe("vmm passthrough: the guest's copy of a function", () => {
  it("has the BARs and message capabilities of the device", () => {
    expect(shadow.bars.map(({ index, type, size }) => [index, type, size])).toEqual([
      [0, "mem32", 0x1000],
      [1, "mem64", 0x1000],
      [3, "io", 0x20],
    ]);
    expect(shadow.msi?.vectors).toBe(4);
    expect([shadow.msix?.vectors, shadow.msix?.bar, shadow.msix?.pbaOffset]).toEqual([8, 1, 0x800]);
  });

  it("emulates BARs, ROM and the message registers, and nothing else", () => {
    const emulated = [...shadow.emulated.keys()].filter((at) => shadow.emulated[at] === 1);
    const { msi, msix } = shadow;
    const expected = [0x0e, ...range(0x10, 24), ...range(0x30, 4)];
    expected.push(...range(msi!.offset + 2, 12), ...range(msix!.offset + 2, 10));
    expect(emulated).toEqual(expected);
  });

  it("hides SR-IOV but keeps the list's links", () => {
    const bytes = new Uint8Array(4096);
    const view = new DataView(bytes.buffer);
    view.setUint32(0x100, 0x1401_0001, true);
    view.setUint32(0x140, 0x1801_0010, true);
    view.setUint32(0x180, 0x0001_0003, true);
    const copy = new ShadowFunction({
      configSize: 4096,
      readConfig: (at, width) =>
        width === 4 ? view.getUint32(at, true) : width === 2 ? view.getUint16(at, true) : bytes[at]!,
      barSize: () => 0,
    });
    expect([...range(0x100, 0x100)].filter((at) => copy.emulated[at] === 1)).toEqual([0x140, 0x141]);
  });
});

function range(from: number, length: number): number[] {
  return Array.from({ length }, (_, i) => from + i);
}
