// Configuration space as the user sees it: what is virtual, what passes through, what is hidden.
import { addAer, addDsn, addPcie, addPm, Msi, type PciDevice } from "@minivmm/pci";
import { passive } from "@minivmm/pci/devices";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { VirtualConfig } from "../src/model/index.ts";
import { EDU, openDevice, PASSIVE, testHost } from "./fixture.ts";

function virtualConfig(device: PciDevice) {
  const calls: string[] = [];
  const config = new VirtualConfig({
    hw: device.config as never,
    size: device.config.size,
    bars: [],
    nointx: false,
    effects: {
      memoryDisabled: () => calls.push("memoryDisabled"),
      intxDisable: (on) => calls.push(`intxDisable ${on}`),
      powerState: (state) => calls.push(`power ${state}`),
      functionReset: () => calls.push("reset"),
      msiActive: () => false,
      msiQueueSize: () => 0,
    },
  });
  const write = (at: number, size: number, value: number) => {
    const bytes = Uint8Array.from({ length: size }, (_, i) => value >>> (8 * i));
    return config.write(bytes, at);
  };
  const read = (at: number, size: number) => {
    const bytes = new Uint8Array(size);
    config.read(bytes, at);
    return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
  };
  return { config, calls, read, write };
}

const plain = (options: { configSize?: 256 | 4096 } = {}) =>
  passive({ vendor: 0x1af4, device: 1, classCode: 0xff0000, interruptPin: 1, ...options });

/** Links a capability that has no register of its own. */
function addHidden(device: PciDevice, id: number): void {
  device.config.addCapability(id, 8);
}

describe("vfio-core configuration space", () => {
  it("vfio-core: sizing a BAR works on the copy and never reaches the device", () => {
    const { process, topology } = testHost();
    const { device } = openDevice(process, EDU);
    const physical = topology.get(EDU).config.read(0x10, 4);
    device.writeConfig(0x10, 4, 0xffffffff);
    expect(device.readConfig(0x10, 4)).toBe(0xfff00000);
    device.writeConfig(0x10, 4, 0x12345678);
    expect(device.readConfig(0x10, 4)).toBe(0x12300000);
    expect(topology.get(EDU).config.read(0x10, 4)).toBe(physical);
    device.writeConfig(0x30, 4, 0xffffffff);
    expect(device.readConfig(0x30, 4)).toBe(0);
  });

  it("vfio-core: a ROM BAR keeps its enable bit", () => {
    const { process } = testHost();
    const { device } = openDevice(process, PASSIVE);
    device.writeConfig(0x30, 4, 0xffffffff);
    expect(device.readConfig(0x30, 4)).toBe(0xfffff001);
  });

  it("vfio-core: hidden capabilities are unlinked, their bytes are raw", () => {
    const device = plain();
    addHidden(device, 0x0d);
    addPm(device);
    addHidden(device, 0x04);
    new Msi(device);
    addHidden(device, 0x0c);
    const { read } = virtualConfig(device);
    const ids: number[] = [];
    for (let at = read(0x34, 1); at !== 0; at = read(at + 1, 1)) ids.push(read(at, 1));
    expect(ids).toEqual([0x01, 0x05]);
  });

  it("vfio-core: with every capability hidden STATUS says there is no list", () => {
    const device = plain();
    addHidden(device, 0x0d);
    const { read } = virtualConfig(device);
    expect(read(0x06, 2) & 0x10).toBe(0);
    expect(device.config.read(0x06, 2) & 0x10).toBe(0x10);
  });

  it("vfio-core: extended capabilities without a rule disappear; the first one leaves a pointer", () => {
    const device = plain({ configSize: 4096 });
    addPcie(device);
    device.config.addExtendedCapability(0x1d, 1, 16);
    addDsn(device, { hi: 1, lo: 2 });
    device.config.addExtendedCapability(0x1f, 1, 12);
    addAer(device);
    const { read } = virtualConfig(device);
    const chain: number[] = [];
    for (let at = 0x100; at !== 0; at = read(at, 4) >>> 20) chain.push(read(at, 4) & 0xfffff);
    expect(chain.map((header) => header & 0xffff)).toEqual([0, 0x03, 0x01]);
    expect(chain[0]).toBe(0);
  });

  it("vfio-core: power events are invisible and the power state goes through the kernel", () => {
    const device = plain();
    const at = addPm(device);
    device.config.define(at + 2, 2, { value: 0xf803 });
    device.config.define(at + 4, 2, { value: 0x8100, write: 0x8103 });
    const { read, write, calls } = virtualConfig(device);
    expect(read(at + 2, 2)).toBe(0x0003);
    expect(read(at + 4, 2)).toBe(0);
    write(at + 4, 2, 0x8103);
    expect(calls).toEqual(["power 3"]);
    expect(device.config.read(at + 4, 2)).toBe(0x8100);
  });

  it("vfio-core: the FLR bit resets, reads zero, and only where the function has FLR", () => {
    for (const flr of [true, false]) {
      const device = plain({ configSize: 4096 });
      const at = addPcie(device, { flr });
      const { read, write, calls } = virtualConfig(device);
      write(at + 8, 2, read(at + 8, 2) | 0x8000);
      expect(read(at + 8, 2) & 0x8000).toBe(0);
      expect(calls).toEqual(flr ? ["reset"] : []);
    }
  });

  it("vfio-core: payload size is the user's copy, read request size reaches hardware", () => {
    const device = plain({ configSize: 4096 });
    const at = addPcie(device);
    device.config.define(at + 8, 2, { write: 0xffff });
    const { read, write } = virtualConfig(device);
    write(at + 8, 2, 0x50e0);
    expect(read(at + 8, 2)).toBe(0x50e0);
    expect(device.config.read(at + 8, 2)).toBe(0x5000);
  });

  it("vfio-core: INTx disable is virtual and told once", () => {
    const device = plain();
    const { read, write, calls } = virtualConfig(device);
    write(4, 2, 0x402);
    write(5, 1, 0x04);
    write(4, 2, 0x002);
    expect(calls).toEqual(["intxDisable true", "intxDisable false"]);
    expect(read(4, 2)).toBe(2);
    expect(device.config.read(4, 2)).toBe(2);
  });

  it("vfio-core: only a write that starts at COMMAND switches memory", () => {
    const { write, calls, config } = virtualConfig(plain());
    write(4, 2, 2);
    expect(config.memoryEnabled).toBe(true);
    write(5, 1, 0);
    expect(config.memoryEnabled).toBe(true);
    write(4, 1, 0);
    expect(config.memoryEnabled).toBe(false);
    expect(calls).toEqual(["memoryDisabled"]);
  });

  it("vfio-core: an access beyond the end is refused whole, an empty one never", () => {
    const { config } = virtualConfig(plain());
    expect(config.read(new Uint8Array(8), 0xfc)).toBe(-14);
    expect(config.read(new Uint8Array(1), 0x100)).toBe(-14);
    expect(config.read(new Uint8Array(0), 0x100)).toBe(0);
    expect(config.read(new Uint8Array(8), 0xf8)).toBe(8);
  });

  it("vfio-core: whatever is written, ids and capability headers stay and reads agree by size", () => {
    const device = plain({ configSize: 4096 });
    addPm(device);
    new Msi(device);
    addPcie(device, { flr: true });
    addAer(device);
    const fixed = [0, 1, 2, 3, 0x34, 0x3d, 0x40, 0x41, 0x100, 0x101, 0x102, 0x103];
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(0x140), fc.uint8Array({ minLength: 1, maxLength: 12 })), { maxLength: 20 }),
        (writes) => {
          const { config, read } = virtualConfig(device);
          const before = fixed.map((at) => read(at, 1));
          for (const [at, bytes] of writes) expect(config.write(bytes, at)).toBe(bytes.length);
          expect(fixed.map((at) => read(at, 1))).toEqual(before);
          for (let at = 0; at < 0x140; at += 4) {
            const bytes = [0, 1, 2, 3].map((i) => read(at + i, 1));
            expect(read(at, 4)).toBe(bytes.reduceRight((value, byte) => value * 256 + byte, 0));
          }
        },
      ),
    );
  });
});
