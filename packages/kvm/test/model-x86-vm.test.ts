import { EAGAIN, EBUSY, EINVAL, type Host } from "@minivmm/host";
import { ModelKernel, type ModelProcess } from "@minivmm/host/model";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { KVM_CAP_IRQ_ROUTING, KVM_CAP_SIGNAL_MSI, KvmSystem, type KvmVm } from "../src/index.ts";
import { ModelKvm, type ModelVm } from "../src/model/index.ts";
import { answers } from "./support/x86-vm-cases.ts";

const ONE = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
let host: ModelProcess;
let vm: KvmVm;
let model: ModelVm;
let seen: string[];

beforeEach(() => {
  const kvm = new ModelKvm(new ModelKernel());
  host = kvm.kernel.spawn();
  vm = KvmSystem.open(host).createVm();
  model = [...kvm.vms][0] as ModelVm;
  seen = [];
});

function listen(taken = true): void {
  model.interrupts = {
    pulse: (gsi) => seen.push(`pulse ${gsi}`),
    level: (gsi, high) => seen.push(`level ${gsi} ${high}`),
    message: (hi, lo, data) => {
      seen.push(`message ${hi.toString(16)}:${lo.toString(16)} ${data.toString(16)}`);
      return taken;
    },
  };
}

const signal = (on: Host, fd: number): number => on.write(fd, ONE);
const msi = (gsi: number, data: number) => ({ kind: "msi", gsi, addressHi: 1, addressLo: 0xfee0_1000, data }) as const;

describe("kvm model: x86 VM", () => {
  it("answers as the kernel does, with and without interrupt controllers", () => {
    const { came, expected } = answers(host, vm.fd);
    expect(came).toEqual(expected);
  });

  it("has the capabilities of what it does", () => {
    expect([vm.checkExtension(KVM_CAP_IRQ_ROUTING), vm.checkExtension(KVM_CAP_SIGNAL_MSI)]).toEqual([4096, 1]);
  });

  it("keeps coalesced zones by bus, and takes away those that hold a range", () => {
    vm.registerCoalescedMmio({ address: 0xe000_0000, size: 0x100 });
    vm.registerCoalescedMmio({ address: 0x3f8, size: 8, port: true });
    const zones = model.x86!.coalesced;
    expect([zones.collects(false, 0xe000_00f8n, 8), zones.collects(false, 0xe000_00fcn, 8)]).toEqual([true, false]);
    expect([zones.collects(true, 0x3f8n, 1), zones.collects(false, 0x3f8n, 1)]).toEqual([true, false]);
    vm.unregisterCoalescedMmio({ address: 0xe000_0000, size: 0x101 });
    expect(zones.size).toBe(2);
    vm.unregisterCoalescedMmio({ address: 0xe000_0010, size: 4 });
    expect(zones.size).toBe(1);
  });
});

describe("kvm model: interrupt routes", () => {
  beforeEach(() => vm.createIrqchip());

  it("lead the first 24 inputs to pins at first, and others nowhere", () => {
    listen();
    for (const gsi of [0, 23, 24]) vm.setIrqLine(gsi, true);
    const event = host.eventfd(0, 0);
    vm.assignIrqFd({ fd: event, gsi: 24 });
    signal(host, event);
    expect(seen).toEqual(["level 0 true", "level 23 true"]);
  });

  it("turn an irqfd's signal into a message, follow a new table at once, and end with it", () => {
    listen();
    vm.setGsiRouting([msi(24, 0x41)]);
    const event = host.eventfd(1, 0);
    vm.assignIrqFd({ fd: event, gsi: 24 });
    vm.setGsiRouting([msi(24, 0x42)]);
    signal(host, event);
    vm.setGsiRouting([{ kind: "irqchip", gsi: 24, chip: 2, pin: 11 }]);
    signal(host, event);
    vm.setGsiRouting([]);
    signal(host, event);
    expect(seen).toEqual(["message 1:fee01000 41", "message 1:fee01000 42", "pulse 24"]);
    expect(host.read(event, new Uint8Array(8))).toBe(-EAGAIN);
  });

  it("stay as they were when a table is refused", () => {
    listen();
    vm.setGsiRouting([msi(5, 7)]);
    const twice = [msi(6, 1), msi(6, 2)];
    expect(() => vm.setGsiRouting(twice)).toThrow(expect.objectContaining({ errno: EINVAL }));
    vm.setIrqLine(5, true);
    vm.setIrqLine(6, true);
    expect(seen).toEqual(["message 1:fee01000 7"]);
  });

  it("a line is high while user space or a resample irqfd holds it", () => {
    listen();
    const [event, resample] = [host.eventfd(0, 0), host.eventfd(0, 0)];
    vm.assignIrqFd({ fd: event, gsi: 10, resampleFd: resample });
    signal(host, event);
    vm.setIrqLine(10, true);
    model.irqfds.endOfInterrupt(10);
    expect(host.read(resample, new Uint8Array(8))).toBe(8);
    expect(seen).toEqual(["level 10 true"]);
    vm.setIrqLine(10, false);
    vm.setIrqLine(10, false);
    expect(seen).toEqual(["level 10 true", "level 10 false"]);
  });

  it("an eventfd that is signalled already interrupts at once, and serves one input only", () => {
    listen();
    const event = host.eventfd(3, 0);
    vm.assignIrqFd({ fd: event, gsi: 4 });
    expect(seen).toEqual(["pulse 4"]);
    expect(() => vm.assignIrqFd({ fd: event, gsi: 5 })).toThrow(expect.objectContaining({ errno: EBUSY }));
  });

  it("messages go to whoever models the CPUs, and say whether one took them", () => {
    const message = { addressHi: 0, addressLo: 0xfee0_0000, data: 0x31 };
    expect(vm.signalMsi(message)).toBe(false);
    listen();
    expect(vm.signalMsi(message)).toBe(true);
    listen(false);
    expect(vm.signalMsi(message)).toBe(false);
    expect(seen).toEqual(["message 0:fee00000 31", "message 0:fee00000 31"]);
  });

  it("property: however lines, signals and ends of interrupts mix, a pin is high while somebody holds it", () => {
    type Step = "up" | "down" | "signal" | "end";
    const steps = fc.array(fc.constantFrom<Step>("up", "down", "signal", "end"), { maxLength: 30 });
    fc.assert(
      fc.property(steps, (list) => {
        const fresh = KvmSystem.open(host).createVm();
        fresh.createIrqchip();
        const one = [...(model.kvm as ModelKvm).vms].at(-1) as ModelVm;
        let high = false;
        one.interrupts = {
          pulse: () => undefined,
          level: (_, now) => {
            expect(now).toBe(!high);
            high = now;
          },
          message: () => false,
        };
        const [event, resample] = [host.eventfd(0, 0), host.eventfd(0, 0)];
        fresh.assignIrqFd({ fd: event, gsi: 11, resampleFd: resample });
        const held = { user: false, device: false };
        for (const step of list) {
          if (step === "up" || step === "down") {
            held.user = step === "up";
            fresh.setIrqLine(11, held.user);
          } else {
            held.device = step === "signal";
            if (held.device) signal(host, event);
            else one.irqfds.endOfInterrupt(11);
          }
          expect(high).toBe(held.user || held.device);
        }
        for (const fd of [event, resample]) host.close(fd);
        fresh.close();
      }),
    );
  });
});
