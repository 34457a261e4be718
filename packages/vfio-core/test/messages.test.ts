// MSI and MSI-X: allocation, growth, partial failure, and that only one interrupt mode is active at a time.
import { describe, expect, it } from "vitest";
import {
  VFIO_PCI_MSI_IRQ_INDEX as MSI,
  VFIO_PCI_MSIX_IRQ_INDEX as MSIX,
  VFIO_IRQ_INFO_NORESIZE,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_DATA_BOOL,
  vfio_irq_set,
  vfioIoctls,
} from "../src/index.ts";
import { EDU, eventFd, NVME, openDevice, PASSIVE, testHost } from "./fixture.ts";

describe("vfio-core message interrupts", () => {
  it("vfio-core: without multi-MSI the call says how many vectors there are and enables nothing", () => {
    const { process } = testHost({ multiMsi: false });
    const { device } = openDevice(process, PASSIVE);
    const events = [0, 1, 2, 3].map(() => eventFd(process));
    expect(device.irq(MSI).count).toBe(4);
    expect(device.setIrqs({ index: MSI, fds: events.map((each) => each.fd) })).toBe(1);
    expect(() => device.triggerIrqs(MSI)).toThrow(/EINVAL/);
    expect(device.setIrqs({ index: MSI, fds: [events[0]!.fd] })).toBe(0);
    device.triggerIrqs(MSI);
    expect(events[0]!.take()).toBe(1);
  });

  it("vfio-core: MSI-X grows where the platform can, and says so in IRQ_INFO", () => {
    for (const [arch, profile, grows] of [
      ["x86_64", "6.12", true],
      ["x86_64", "6.1", false],
      ["ppc64le", "6.12", false],
    ] as const) {
      const { process } = testHost({ arch, profile });
      const { device } = openDevice(process, NVME);
      expect((device.irq(MSIX).flags & VFIO_IRQ_INFO_NORESIZE) === 0).toBe(grows);
      const event = eventFd(process);
      device.setIrqs({ index: MSIX, fds: [event.fd] });
      const grow = () => device.setIrqs({ index: MSIX, start: 3, fds: [event.fd] });
      if (!grows) expect(grow).toThrow(/EINVAL/);
      else {
        grow();
        device.triggerIrqs(MSIX, 3);
        expect(event.take()).toBe(1);
      }
    }
  });

  it("vfio-core: a bad descriptor at first enables nothing, later disconnects what the call touched", () => {
    const { process } = testHost();
    const { device } = openDevice(process, NVME);
    const [a, b] = [eventFd(process), eventFd(process)];
    expect(() => device.setIrqs({ index: MSIX, fds: [a.fd, 9999] })).toThrow(/EBADF/);
    expect(() => device.triggerIrqs(MSIX)).toThrow(/EINVAL/);
    device.setIrqs({ index: MSIX, fds: [a.fd, b.fd] });
    expect(() => device.setIrqs({ index: MSIX, fds: [a.fd, 9999] })).toThrow(/EBADF/);
    device.triggerIrqs(MSIX, 0, 2);
    expect([a.take(), b.take()]).toEqual([0, 0]);
  });

  it("vfio-core: modes exclude each other until disabled", () => {
    const { process } = testHost();
    const { device } = openDevice(process, EDU);
    const event = eventFd(process);
    device.setIrqs({ index: 0, fds: [event.fd] });
    expect(() => device.setIrqs({ index: MSI, fds: [event.fd] })).toThrow(/EINVAL/);
    device.disableIrqs(0);
    device.setIrqs({ index: MSI, fds: [event.fd] });
    expect(() => device.setIrqs({ index: 0, fds: [event.fd] })).toThrow(/EINVAL/);
    device.disableIrqs(MSI);
    device.disableIrqs(MSI);
  });

  it("vfio-core: 6.1 takes a loopback of no vectors just behind the last one, but refuses to connect none there", () => {
    const { process } = testHost({ profile: "6.1" });
    const { device } = openDevice(process, NVME);
    device.setIrqs({ index: MSIX, fds: [eventFd(process).fd] });
    const loopback = (start: number) => {
      const flags = VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER;
      const arg = vfio_irq_set.encode({ argsz: vfio_irq_set.size, flags, index: MSIX, start });
      return process.ioctl(device.fd, vfioIoctls(process.arch).VFIO_DEVICE_SET_IRQS, arg);
    };
    expect([loopback(1), loopback(2)]).toEqual([0, -22]);
    expect(() => device.setIrqs({ index: MSIX, start: 1, fds: [] })).toThrow(/EINVAL/);
  });

  it("vfio-core: the host's own message is in the function, whatever the user wrote", () => {
    const { process, topology } = testHost();
    const { device } = openDevice(process, EDU);
    const at = topology.get(EDU).device.msi!.offset;
    device.writeConfig(at + 4, 4, 0xdead0000);
    device.setIrqs({ index: MSI, fds: [eventFd(process).fd] });
    expect(topology.get(EDU).config.read(at + 4, 4)).not.toBe(0xdead0000);
    expect(device.readConfig(at + 4, 4)).toBe(0xdead0000);
    expect(device.readConfig(at + 2, 2) & 1).toBe(0);
  });

  it("vfio-core: closing the device ends delivery, and reopening starts without interrupts", () => {
    const { process } = testHost();
    const { device, group } = openDevice(process, EDU);
    const event = eventFd(process);
    device.setIrqs({ index: MSI, fds: [event.fd] });
    device.close();
    const again = group.device(EDU);
    again.writeConfig(4, 2, 0x6);
    again.writeRegion(0, 0x60, 4, 1, 0);
    expect(event.take()).toBe(0);
    expect(() => again.triggerIrqs(MSI)).toThrow(/EINVAL/);
  });
});
