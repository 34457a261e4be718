import { describe, expect, it } from "vitest";
import {
  SpaprContainer,
  VFIO_EEH_PE_STATE_NORMAL,
  VFIO_EEH_PE_STATE_RESET,
  VFIO_EEH_PE_STATE_STOPPED,
  VFIO_EEH_PE_STATE_STOPPED_DMA,
} from "../src/index.ts";
import { attachedContainer, type RigOptions } from "./rig.ts";

const PAGE = 65536;

function mapped(options: RigOptions = {}) {
  const made = attachedContainer("v2", options);
  const spapr = new SpaprContainer(made.container);
  const memory = new Uint8Array(4 * PAGE);
  spapr.registerMemory(memory);
  const address = Number(made.process.addressOf(memory));
  const map = (iova: number, from: number, size: number, flags = 3) =>
    spapr.mapDma(0, iova, Math.floor((address + from) / 2 ** 32), (address + from) % 2 ** 32, size, flags);
  const group = made.functions[0]?.group;
  if (!group) throw new Error("no group");
  return { ...made, spapr, memory, map, group, domain: made.driver.tableGroupOf(group).domain };
}

describe("spapr-iommu DMA", () => {
  it("follows each page's TCE, also where pages do not adjoin", () => {
    const { memory, map, domain } = mapped();
    memory.forEach((_, i) => {
      memory[i] = i >> 12;
    });
    map(0x0000, 0x3000, 0x1000);
    map(0x1000, 0x1000, 0x2000);
    const into = new Uint8Array(0x3000);
    expect(domain.read(0, 0, into)).toBe(true);
    expect([into[0], into[0x1000], into[0x2000], into[0x2fff]]).toEqual([3, 1, 2, 2]);
    expect(domain.write(0, 0xff8, new Uint8Array(16).fill(0xaa))).toBe(true);
    expect([memory[0x3ff8], memory[0x3fff], memory[0x1000], memory[0x1007], memory[0x1008]]).toEqual([
      170, 170, 170, 170, 1,
    ]);
  });

  it("asks for the permission: a write-only page is readable on bare metal only", () => {
    const bytes = new Uint8Array(8);
    for (const [platform, readable] of [
      ["powernv", true],
      ["pseries", false],
    ] as const) {
      const { map, domain } = mapped({ platform, freeze: false });
      map(0, 0, 0x1000, 2);
      expect(domain.write(0, 0, bytes)).toBe(true);
      expect(domain.read(0, 0, bytes)).toBe(readable);
      map(0, 0, 0x1000, 1);
      expect(domain.read(0, 0, bytes)).toBe(true);
      expect(domain.write(0, 0, bytes)).toBe(false);
    }
  });

  it("is gone when the group leaves", () => {
    const { map, group, groups } = mapped();
    map(0, 0, 0x1000);
    expect(group.domain?.read(0, 0, new Uint8Array(4))).toBe(true);
    groups[0]?.unsetContainer();
    expect(group.domain).toBe(null);
  });
});

describe("spapr-iommu EEH", () => {
  it("isolates the endpoint after a DMA outside the window, until it is thawed", () => {
    const { spapr, map, group, domain, kernel, functions } = mapped();
    map(0, 0, 0x1000);
    expect(spapr.eeh.state()).toBe(VFIO_EEH_PE_STATE_NORMAL);
    expect(domain.read(0, 0x9000_0000, new Uint8Array(4))).toBe(false);
    expect(group.peFrozen).toBe(true);
    expect(kernel.log.at(-1)).toMatch(/Frozen PE .* DMA read of 0x90000000/);
    expect(functions[0]?.device.dma.read(0, 0, new Uint8Array(4))).toBe(false);
    expect(spapr.eeh.state()).toBe(VFIO_EEH_PE_STATE_STOPPED);
    expect(spapr.eeh.thawIo()).toBe(0);
    expect(spapr.eeh.state()).toBe(VFIO_EEH_PE_STATE_STOPPED_DMA);
    expect(group.peFrozen).toBe(false);
    expect(domain.read(0, 0, new Uint8Array(4))).toBe(false);
    expect(spapr.eeh.thawDma()).toBe(0);
    expect(spapr.eeh.state()).toBe(VFIO_EEH_PE_STATE_NORMAL);
    expect(domain.read(0, 0, new Uint8Array(4))).toBe(true);
  });

  it("resets the endpoint: silent while the line is asserted, fresh afterwards", () => {
    const { spapr, functions } = mapped();
    const fn = functions[0];
    fn?.writeConfig(4, 2, 6);
    expect(spapr.eeh.injectError({ type: 0, func: 0 })).toBe(0);
    expect(spapr.eeh.state()).toBe(VFIO_EEH_PE_STATE_STOPPED);
    expect(spapr.eeh.resetHot()).toBe(0);
    expect(spapr.eeh.state()).toBe(VFIO_EEH_PE_STATE_RESET);
    expect(fn?.readConfig(0, 4)).toBe(0xffffffff);
    expect(spapr.eeh.resetDeactivate()).toBe(0);
    expect(spapr.eeh.configure()).toBe(0);
    expect(fn?.readConfig(0, 4)).toBe(0x11e81234);
    expect(fn?.readConfig(4, 2)).toBe(0);
    expect(spapr.eeh.state()).toBe(VFIO_EEH_PE_STATE_NORMAL);
  });

  it("gives a new owner a working endpoint", () => {
    const { spapr, domain } = mapped();
    domain.write(0, 0x9000_0000, new Uint8Array(4));
    expect(spapr.eeh.enable()).toBe(0);
    expect(spapr.eeh.state()).toBe(VFIO_EEH_PE_STATE_NORMAL);
    expect(spapr.eeh.disable()).toBe(0);
  });

  it("gives the next user of the group a working endpoint", () => {
    const { spapr, domain, groups, container } = mapped();
    domain.write(0, 0x9000_0000, new Uint8Array(4));
    groups[0]?.unsetContainer();
    groups[0]?.setContainer(container);
    container.setIommu(7);
    expect(spapr.eeh.state()).toBe(VFIO_EEH_PE_STATE_NORMAL);
  });

  it("refuses errors that cannot be injected, and everything where there is no EEH", () => {
    const { spapr } = mapped();
    expect(spapr.eeh.injectError({ type: 2, func: 0 })).toBe(-22);
    expect(spapr.eeh.injectError({ type: 1, func: 20 })).toBe(-22);
    expect(mapped({ platform: "pseries" }).spapr.eeh.state()).toBe(-19);
  });
});
