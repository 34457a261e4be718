// This machine's /dev/kvm and the model, asked the same.
import { type Host, realHost } from "@minivmm/host";
import { ModelKernel } from "@minivmm/host/model";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, KvmSystem } from "../../src/index.ts";
import { ModelKvm } from "../../src/model/index.ts";
import { answers, type RawRoute, routing } from "../support/x86-vm-cases.ts";

const real = realHost();
const modelled = new ModelKvm(new ModelKernel()).kernel.spawn();
const systems = [real, modelled].map((host) => KvmSystem.open(host));
const withVms = <T>(act: (host: Host, vm: number) => T): T[] =>
  systems.map((system) => {
    using vm = system.createVm();
    return act(system.host, vm.fd);
  });
afterAll(() => {
  for (const system of systems) system.close();
});

describe("kvm on /dev/kvm and modelled: the same answers", () => {
  it("to requests of a VM without vCPUs", () => {
    const [kernel, model] = withVms(answers);
    expect(kernel?.came).toEqual(kernel?.expected);
    expect(model?.came).toEqual(kernel?.came);
  });

  it("property: to any routing table", () => {
    const word = fc.oneof(fc.nat(25), fc.integer({ min: 0, max: 0xffff_ffff }));
    const route: fc.Arbitrary<RawRoute> = fc.oneof(
      fc.tuple(fc.nat(5), fc.constant(KVM_IRQ_ROUTING_IRQCHIP), fc.tuple(fc.nat(3), fc.nat(25)), fc.constant(0)),
      fc.tuple(fc.nat(5), fc.constant(KVM_IRQ_ROUTING_MSI), fc.tuple(word, word, word, word), fc.nat(3)),
      fc.tuple(fc.constantFrom(4095, 4096), fc.constantFrom(0, 2, 3, 77), fc.tuple(word), fc.constant(0)),
    );
    const table = fc.array(route, { maxLength: 6 }).map((routes) => routing(routes));
    const tables = fc.array(table, { maxLength: 8 });
    fc.assert(
      fc.property(tables, (asked) => {
        const [kernel, model] = systems.map((system) => {
          using vm = system.createVm();
          vm.createIrqchip();
          return asked.map((ask) => ask(system.host, vm.fd));
        });
        expect(model).toEqual(kernel);
      }),
      { numRuns: 60 },
    );
  });
});
