// Regions: BARs by pread and by mapping, ROM, widths, ends, and what happens while nothing decodes.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { VfioError } from "../src/index.ts";
import { EDU, NVME, openDevice, PASSIVE, testHost } from "./fixture.ts";

const REGION = 2 ** 40;

describe("vfio-core regions", () => {
  it("vfio-core: bytes written are bytes read, at any offset and length, also through a mapping", () => {
    const { process } = testHost();
    const { device } = openDevice(process, PASSIVE);
    device.writeConfig(4, 2, 0x3);
    const size = device.region(0).size;
    const mapping = device.mapRegion(0);
    fc.assert(
      fc.property(fc.nat(size - 1), fc.uint8Array({ minLength: 1, maxLength: 40 }), (at, data) => {
        const fits = Math.min(data.length, size - at);
        expect(device.writeRegionBytes(0, at, data)).toBe(fits);
        const back = new Uint8Array(data.length);
        expect(process.pread(device.fd, back, at)).toBe(fits);
        expect(back.subarray(0, fits)).toEqual(data.subarray(0, fits));
        expect(mapping.load(at, 1)).toBe(data[0]);
      }),
    );
    mapping.close();
  });

  it("vfio-core: 6.12 does 8 bytes in one access, 6.1 in two", () => {
    for (const [profile, high] of [
      ["6.12", 0],
      ["6.1", 0xffffffff],
    ] as const) {
      const { process } = testHost({ profile });
      const { device } = openDevice(process, EDU);
      device.writeConfig(4, 2, 2);
      const out = new Uint32Array(2);
      expect(device.readRegion(0, 0x80, 8, out)).toBe(8);
      expect([...out]).toEqual([0, high]);
    }
  });

  it("vfio-core: memory off is EIO and ones for pread, SIGBUS for a mapping; I/O ports read ones", () => {
    const { process } = testHost();
    const { device } = openDevice(process, PASSIVE);
    const mapping = device.mapRegion(0);
    device.writeConfig(4, 2, 0);
    const out = new Uint32Array(2);
    expect(device.readRegion(0, 0, 4, out)).toBe(-5);
    expect(out[0]).toBe(0xffffffff);
    expect(device.writeRegion(0, 0, 4, 1, 0)).toBe(-5);
    expect(() => mapping.load(0, 4)).toThrow(VfioError);
    expect(device.readRegion(2, 0, 4, out)).toBe(4);
    expect(out[0]).toBe(0xffffffff);
    device.writeConfig(4, 2, 0x3);
    expect(mapping.load(0, 4)).toBe(0);
    expect(device.readRegion(2, 0, 2, out)).toBe(2);
    expect(out[0]).toBe(0);
  });

  it("vfio-core: a frozen partition answers with ones and takes nothing", () => {
    const { process, topology } = testHost({ arch: "ppc64le" });
    const { device } = openDevice(process, EDU);
    device.writeConfig(4, 2, 2);
    const out = new Uint32Array(2);
    topology.get(EDU).group!.peFrozen = true;
    device.readRegion(0, 0, 4, out);
    expect(out[0]).toBe(0xffffffff);
    topology.get(EDU).group!.peFrozen = false;
    device.readRegion(0, 0, 4, out);
    expect(out[0]).toBe(0x010000ed);
  });

  it("vfio-core: the MSI-X table is closed to pread and pwrite but open to mappings", () => {
    const { process, topology } = testHost();
    const { device } = openDevice(process, NVME);
    device.writeConfig(4, 2, 2);
    const msix = topology.get(NVME).device.msix!;
    const entry = new Uint8Array(16);
    expect(process.pread(device.fd, entry, msix.bar * REGION + msix.tableOffset)).toBe(16);
    expect(entry.every((byte) => byte === 0xff)).toBe(true);
    expect(process.pwrite(device.fd, new Uint8Array(16), msix.bar * REGION + msix.tableOffset)).toBe(16);
    expect(msix.masked(0)).toBe(true);
    const mapping = device.mapRegion(msix.bar);
    expect(mapping.load(msix.tableOffset + 12, 4)).toBe(1);
    mapping.close();
    const straddling = new Uint8Array(8);
    expect(process.pread(device.fd, straddling, msix.bar * REGION + msix.tableOffset - 4)).toBe(8);
    expect([...straddling.subarray(4)]).toEqual([255, 255, 255, 255]);
  });

  it("vfio-core: capabilities of a region are found through a second, longer call", () => {
    const { process } = testHost();
    const { device } = openDevice(process, NVME);
    expect(device.region(0).capabilities.map(({ id, version }) => [id, version])).toEqual([[3, 1]]);
    expect(device.region(7).capabilities).toEqual([]);
  });

  it("vfio-core: the ROM is read only, ends in ones behind its image and needs memory decode", () => {
    const { process } = testHost();
    const { device } = openDevice(process, PASSIVE);
    device.writeConfig(4, 2, 2);
    expect(device.region(6)).toMatchObject({ size: 0x1000, flags: 1 });
    const bytes = new Uint8Array(4);
    expect(process.pread(device.fd, bytes, 6 * REGION)).toBe(4);
    expect([...bytes.subarray(0, 2)]).toEqual([0x55, 0xaa]);
    expect(process.pread(device.fd, bytes, 6 * REGION + 510)).toBe(4);
    expect([...bytes.subarray(2)]).toEqual([255, 255]);
    expect(process.pwrite(device.fd, bytes, 6 * REGION)).toBe(-22);
    device.writeConfig(4, 2, 0);
    expect(process.pread(device.fd, bytes, 6 * REGION)).toBe(-12);
  });

  it("vfio-core: a small BAR alone in its page can be mapped to the page's end", () => {
    for (const arch of ["x86_64", "ppc64le"] as const) {
      const { process } = testHost({ arch });
      const { device } = openDevice(process, PASSIVE);
      device.writeConfig(4, 2, 2);
      expect(device.region(3)).toMatchObject({ size: 0x100, flags: 7 });
      const mapping = device.mapRegion(3, 0, process.pageSize);
      mapping.store(0xfc, 4, 0x1234);
      expect([mapping.load(0xfc, 4), mapping.load(0x100, 4)]).toEqual([0x1234, 0xffffffff]);
      expect(() => device.mapRegion(2)).toThrow(/EINVAL/);
    }
  });

  it("vfio-core: low power stops mappings, and the wake-up eventfd ends it at the next use", () => {
    const { process } = testHost();
    const { device } = openDevice(process, PASSIVE);
    device.writeConfig(4, 2, 2);
    const mapping = device.mapRegion(0);
    const feature = (index: number, tail: number[] = []) => {
      const bytes = new Uint8Array(new Int32Array([8 + 4 * tail.length, 0x20000 | index, ...tail]).buffer);
      return process.ioctl(device.fd, 0x3b75, bytes);
    };
    expect(feature(3)).toBe(0);
    expect(() => mapping.load(0, 4)).toThrow(/SIGBUS/);
    expect(device.readRegion(0, 0, 4, new Uint32Array(2))).toBe(4);
    expect(feature(5)).toBe(0);
    expect(mapping.load(0, 4)).toBe(0);
    const wake = process.eventfd(0, 0o4000);
    expect(feature(4, [wake, 0])).toBe(0);
    expect(process.read(wake, new Uint8Array(8))).toBe(-11);
    device.readConfig(0, 4);
    expect(process.read(wake, new Uint8Array(8))).toBe(8);
    expect(mapping.load(0, 4)).toBe(0);
  });
});
