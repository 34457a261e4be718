import { EPERM } from "@minivmm/host";
import { ManualClock } from "@minivmm/host/model";
import { SpaprContainer } from "@minivmm/spapr-iommu";
import { iommuGroupOf, VFIO_SPAPR_TCE_v2_IOMMU, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import { ModelHostError, type ModelHostOptions, modelHost } from "../src/index.ts";

const EDU = "0002:01:00.0";
const IDENTITY = 0x010000ed;

function withEdu(name = "power9", options: ModelHostOptions = {}) {
  const clock = new ManualClock();
  const host = modelHost(name, { clock, ...options });
  const process = host.spawn();
  const container = VfioContainer.open(process);
  const group = VfioGroup.open(process, iommuGroupOf(process, EDU));
  group.setContainer(container);
  container.setIommu(VFIO_SPAPR_TCE_v2_IOMMU);
  const device = group.device(EDU);
  device.writeConfig(4, 2, 6);
  const out = new Uint32Array(2);
  const identity = () => {
    device.readRegion(0, 0, 4, out);
    return out[0];
  };
  /** One DMA read by the device, from a bus address. */
  const dmaRead = (address: number) => {
    device.writeRegion(0, 0x80, 8, address, 0);
    device.writeRegion(0, 0x88, 8, 0x40000, 0);
    device.writeRegion(0, 0x90, 8, 8, 0);
    device.writeRegion(0, 0x98, 8, 1, 0);
    clock.advance(1000);
  };
  return { host, process, container, group, device, identity, dmaRead, spapr: new SpaprContainer(container) };
}

describe("model-host: faults", () => {
  it("a DMA outside the windows freezes the endpoint: loads give ones, stores are lost, until the thaw", () => {
    const { host, identity, dmaRead, device, spapr } = withEdu();
    expect(identity()).toBe(IDENTITY);
    dmaRead(0x0100_0000);
    expect(identity()).toBe(0xffffffff);
    device.writeRegion(0, 4, 4, 1, 0);
    expect(spapr.eeh.state()).toBe(2);
    spapr.eeh.thawIo();
    spapr.eeh.thawDma();
    expect(identity()).toBe(IDENTITY);
    const out = new Uint32Array(2);
    device.readRegion(0, 4, 4, out);
    expect(out[0]).toBe(0);
    host.close();
  });

  it("freezes nothing on the machine whose PHB has no error handling", () => {
    const { host, identity, dmaRead, spapr } = withEdu("powernv9");
    dmaRead(0x0100_0000);
    expect(identity()).toBe(IDENTITY);
    expect(spapr.eeh.state()).toBe(0);
    host.close();
  });

  it("an endpoint can be frozen without a reason", () => {
    const { host, identity, spapr } = withEdu();
    host.faults.freezePe(EDU);
    expect([identity(), spapr.eeh.state()]).toEqual([0xffffffff, 2]);
    host.close();
  });

  it("a limit on locked memory is met when memory is registered", () => {
    const { host, spapr } = withEdu("power9", { memlock: 0x10_0000 });
    expect(() => spapr.registerMemory(new Uint8Array(0x20_0000))).toThrow(
      /needs 2097152 bytes \(2048 KiB\) of locked memory, and the limit is 1048576 bytes/,
    );
    host.close();
  });

  it("a host driver takes a group away, unless VFIO has it in use", () => {
    const { host, process } = withEdu();
    host.faults.takeGroup("0003:02:02.0");
    const group = VfioGroup.open(process, iommuGroupOf(process, "0003:02:01.0"));
    expect(group.status().viable).toBe(false);
    expect(() => group.setContainer(VfioContainer.open(process))).toThrow(expect.objectContaining({ errno: EPERM }));
    group.close();
    expect(() => host.faults.takeGroup(EDU)).toThrow(ModelHostError);
    host.close();
  });

  it("loses as many interrupts as it is told to", () => {
    const { host, process, device } = withEdu();
    const fd = process.eventfd(0, 0o4000);
    device.setIrqs({ index: 1, start: 0, fds: [fd] });
    const fault = host.faults.loseInterrupts(EDU, 2);
    const count = new Uint8Array(8);
    for (let i = 0; i < 3; i++) device.writeRegion(0, 0x60, 4, 1, 0);
    expect(fault.lost).toBe(2);
    expect(process.read(fd, count)).toBe(8);
    expect(count[0]).toBe(1);
    host.close();
  });

  it("the registers of a silent function read as ones; what the kernel has noted stays", () => {
    const { host, identity, process } = withEdu();
    host.faults.silence(EDU);
    const vendor = process.readFile(`/sys/bus/pci/devices/${EDU}/vendor`) as Uint8Array;
    expect([identity(), new TextDecoder().decode(vendor)]).toEqual([0xffffffff, "0x1234\n"]);
    host.faults.silence(EDU, false);
    expect(identity()).toBe(IDENTITY);
    host.close();
  });

  it("names what is not there", () => {
    using host = modelHost("power9");
    expect(() => host.faults.freezePe("0009:01:00.0")).toThrow("there is no such PCI function");
    expect(() => host.faults.freezePe("0000:00:00.0")).toThrow("it is in no partitionable endpoint");
  });
});
