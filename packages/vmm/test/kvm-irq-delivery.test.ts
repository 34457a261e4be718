// Interrupts that KVM takes by itself: what is assigned when, and what happens to signals in between. A modelled host
// gives the eventfds, the modelled KVM takes them.
import type { Host } from "@minivmm/host";
import { modelHost } from "@minivmm/model-host";
import { describe, expect, it } from "vitest";
import { GsiRoutes } from "../src/machines/pc/gsi-routes.ts";
import type { MessageSource } from "../src/pci/irq-delivery.ts";
import { KvmIrqDelivery } from "../src/pci/kvm-irq-delivery.ts";

class NotedVm {
  readonly log: string[] = [];
  readonly taken = new Map<number, number>();
  refuse: string | undefined;
  assignIrqFd({ fd, gsi, resampleFd }: { fd: number; gsi: number; resampleFd?: number }): void {
    if (this.refuse) throw new Error(this.refuse);
    this.taken.set(gsi, fd);
    this.log.push(`assign ${gsi}${resampleFd === undefined ? "" : " resample"}`);
  }
  deassignIrqFd({ gsi }: { gsi: number }): void {
    this.taken.delete(gsi);
    this.log.push(`deassign ${gsi}`);
  }
  setGsiRouting(routes: readonly { kind: string; gsi: number; data?: number }[]): void {
    const messages = routes.filter(({ kind }) => kind === "msi");
    this.log.push(`routes ${messages.map(({ gsi, data }) => `${gsi}:${data}`).join()}`);
  }
}

class Source implements MessageSource {
  mask = false;
  value = 0x41;
  readonly raised: number[] = [];
  masked = (): boolean => this.mask;
  addressHi = (): number => 0;
  addressLo = (): number => 0xfee0_0000;
  data = (): number => this.value;
  raise = (vector: number): void => {
    this.raised.push(vector);
  };
}

const ONE = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
const count = (host: Host, fd: number): number => {
  const bytes = new Uint8Array(8);
  return host.read(fd, bytes) < 0 ? 0 : bytes[0]!;
};

function delivery(deviceHost: Host, kvmHost: Host, gsi: number | undefined = 17) {
  const vm = new NotedVm();
  const problems: string[] = [];
  const routes = new GsiRoutes(vm);
  const made = new KvmIrqDelivery({ vm, routes, kvmHost, deviceHost, gsi, problem: (m) => problems.push(m) });
  return { vm, problems, made };
}

describe("vmm passthrough: interrupts through KVM", () => {
  it("gives a vector's eventfd to KVM while it is unmasked, with its route first", () => {
    const host = modelHost("desktop").spawn();
    const { vm, made } = delivery(host, host);
    const source = new Source();
    const line = made.vector(source, 3)!;
    line.sync?.();
    expect(vm.log).toEqual(["routes 24:65", "assign 24"]);
    source.mask = true;
    line.sync?.();
    line.sync?.();
    expect(vm.log.slice(2)).toEqual(["deassign 24"]);
    source.mask = false;
    source.value = 0x42;
    line.sync?.();
    expect(vm.log.slice(3)).toEqual(["routes 24:66", "assign 24"]);
    line.close();
    expect(vm.taken.size).toBe(0);
    expect(host.close(line.fd)).toBeLessThan(0);
  });

  it("makes pending what arrived while the vector was masked, when the guest looks", () => {
    const host = modelHost("desktop").spawn();
    const { made } = delivery(host, host);
    const source = new Source();
    source.mask = true;
    const line = made.vector(source, 5)!;
    line.sync?.();
    line.collect?.();
    expect(source.raised).toEqual([]);
    host.write(line.fd, ONE);
    line.collect?.();
    line.collect?.();
    expect(source.raised).toEqual([5]);
  });

  it("connects the pin with the eventfd that unmasks it", () => {
    const host = modelHost("desktop").spawn();
    const { vm, made } = delivery(host, host);
    const pin = made.pin(() => expect.unreachable())!;
    expect(vm.log).toEqual(["assign 17 resample"]);
    expect(pin.unmaskFd).toBeGreaterThan(pin.fd);
    pin.close();
    expect(vm.log[1]).toBe("deassign 17");
  });

  it("hands signals over where the device is on another host than KVM", () => {
    const device = modelHost("desktop").spawn();
    const kernel = modelHost("desktop").spawn();
    const { vm, made } = delivery(device, kernel);
    const line = made.vector(new Source(), 0)!;
    line.sync?.();
    const taken = vm.taken.get(24)!;
    device.write(line.fd, ONE);
    expect(count(device, line.fd)).toBe(0);
    expect(count(kernel, taken)).toBe(1);
    let fired = 0;
    const pin = made.pin(() => fired++)!;
    expect(pin.unmaskFd).toBeUndefined();
    device.write(pin.fd, ONE);
    expect(fired).toBe(1);
  });

  it("reports what KVM refuses, and leaks no descriptor", () => {
    const host = modelHost("desktop").spawn();
    const { vm, made, problems } = delivery(host, host);
    vm.refuse = "EINVAL";
    const next = host.eventfd(0, 0);
    host.close(next);
    expect(made.pin(() => undefined)).toBeUndefined();
    expect(problems).toEqual(["connect the pin: EINVAL"]);
    expect(host.eventfd(0, 0)).toBe(next);
  });
});
