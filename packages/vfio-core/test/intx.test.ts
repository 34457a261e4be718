// INTx as a level interrupt: automask, unmask by call and by eventfd, INTx disable of the user, shared lines.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { VfioDevice } from "../src/index.ts";
import { EDU, eventFd, NVME, openDevice, testHost } from "./fixture.ts";

const RAISE = 0x60;
const ACK = 0x64;

function intx(options = {}) {
  const { process } = testHost(options);
  const { device } = openDevice(process, EDU);
  device.writeConfig(4, 2, 0x2);
  const trigger = eventFd(process);
  expect(device.setIrqs({ index: 0, fds: [trigger.fd] })).toBe(0);
  return { process, device, trigger };
}

const raise = (device: VfioDevice) => device.writeRegion(0, RAISE, 4, 1, 0);
const acknowledge = (device: VfioDevice) => device.writeRegion(0, ACK, 4, 0xffffffff, 0);

describe.each([false, true])("vfio-core INTx, nointxmask=%s", (nointxmask) => {
  it("vfio-core: fires once, masks itself, fires again after acknowledge and unmask", () => {
    const { device, trigger } = intx({ nointxmask });
    raise(device);
    raise(device);
    expect(trigger.take()).toBe(1);
    acknowledge(device);
    expect(trigger.take()).toBe(0);
    device.unmask();
    raise(device);
    expect(trigger.take()).toBe(1);
  });

  it("vfio-core: a line still asserted at unmask is signalled again and stays masked", () => {
    const { device, trigger } = intx({ nointxmask });
    raise(device);
    expect(trigger.take()).toBe(1);
    device.unmask();
    expect(trigger.take()).toBe(1);
    raise(device);
    expect(trigger.take()).toBe(0);
  });

  it("vfio-core: each write of the unmask eventfd is consumed and unmasks", () => {
    const { process, device, trigger } = intx({ nointxmask });
    const unmask = eventFd(process);
    device.unmask(0, unmask.fd);
    raise(device);
    unmask.add();
    expect([trigger.take(), unmask.take()]).toEqual([2, 0]);
    acknowledge(device);
    unmask.add();
    raise(device);
    expect(trigger.take()).toBe(1);
    expect(() => device.unmask(0, unmask.fd)).toThrow(/EBUSY/);
    process.close(unmask.fd);
    const next = eventFd(process);
    device.unmask(0, next.fd);
    device.unmask(0, -1);
    next.add();
    expect(next.take()).toBe(1);
  });

  it("vfio-core: an unmask eventfd ends with its last descriptor, though a device can still signal it", () => {
    const { process, device, trigger } = intx({ nointxmask });
    const unmask = eventFd(process);
    const other = openDevice(process, NVME).device;
    other.setIrqs({ index: 2, fds: [unmask.fd] });
    device.unmask(0, unmask.fd);
    process.close(unmask.fd);
    raise(device);
    expect(trigger.take()).toBe(1);
    acknowledge(device);
    other.triggerIrqs(2);
    raise(device);
    expect(trigger.take(), "still masked").toBe(0);
  });

  it("vfio-core: agrees with the rules of a self-masking level interrupt, whatever the order of events", () => {
    const events = ["raise", "ack", "mask", "unmask", "disable", "enable"] as const;
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...events), { maxLength: 40 }), (sequence) => {
        const { device, trigger } = intx({ nointxmask });
        const rule = { pending: false, masked: false, disabled: false, signals: 0 };
        let seen = 0;
        for (const event of sequence) {
          step(rule, event);
          if (event === "raise") raise(device);
          else if (event === "ack") acknowledge(device);
          else if (event === "mask") device.mask();
          else if (event === "unmask") device.unmask();
          else device.writeConfig(4, 2, event === "disable" ? 0x402 : 0x2);
          seen += trigger.take();
          expect(seen).toBe(rule.signals);
        }
      }),
      { numRuns: 60 },
    );
  });
});

function step(rule: { pending: boolean; masked: boolean; disabled: boolean; signals: number }, event: string): void {
  const unmask = () => {
    if (!rule.masked || rule.disabled) return;
    if (rule.pending) rule.signals++;
    else rule.masked = false;
  };
  if (event === "raise") {
    rule.pending = true;
    if (!rule.masked) rule.signals++;
    rule.masked = true;
  } else if (event === "ack") rule.pending = false;
  else if (event === "mask") rule.masked = true;
  else if (event === "unmask") unmask();
  else if (event === "disable") {
    rule.disabled = true;
    rule.masked = true;
  } else if (rule.disabled) {
    rule.disabled = false;
    unmask();
  }
}
