// Routes of interrupt inputs: what KVM is told, and when.
import type { GsiRoute } from "@minivmm/kvm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GsiRoutes } from "../src/machines/pc/gsi-routes.ts";
import { GSI_MESSAGES } from "../src/machines/pc/memory-map.ts";

class NotedVm {
  readonly tables: (readonly GsiRoute[])[] = [];
  setGsiRouting(routes: readonly GsiRoute[]): void {
    this.tables.push(structuredClone(routes) as GsiRoute[]);
  }
  get messages(): readonly GsiRoute[] {
    return (this.tables.at(-1) ?? []).filter(({ kind }) => kind === "msi");
  }
}

describe("pc: interrupt routes", () => {
  it("lead the inputs to both controllers, the timer to pin 2 and nothing from the cascade", () => {
    const vm = new NotedVm();
    new GsiRoutes(vm).commit();
    const pins = (gsi: number): unknown[] =>
      vm.tables[0]!.flatMap((route) =>
        route.kind === "irqchip" && route.gsi === gsi ? [[route.chip, route.pin]] : [],
      );
    expect(pins(0)).toEqual([
      [0, 0],
      [2, 2],
    ]);
    expect(pins(2)).toEqual([]);
    expect(pins(4)).toEqual([
      [0, 4],
      [2, 4],
    ]);
    expect(pins(9)).toEqual([
      [1, 1],
      [2, 9],
    ]);
    expect(pins(23)).toEqual([[2, 23]]);
    expect(vm.messages).toEqual([]);
  });

  it("are handed over only when they changed", () => {
    const vm = new NotedVm();
    const routes = new GsiRoutes(vm);
    const gsi = routes.allocate() as number;
    routes.set(gsi, 0, 0xfee0_0000, 0x41);
    routes.commit();
    routes.set(gsi, 0, 0xfee0_0000, 0x41);
    routes.commit();
    expect(vm.tables).toHaveLength(1);
    expect(vm.messages).toEqual([expect.objectContaining({ gsi, addressLo: 0xfee0_0000, data: 0x41 })]);
    routes.set(gsi, 0, 0xfee0_0000, 0x42);
    routes.commit();
    expect(vm.messages).toEqual([expect.objectContaining({ data: 0x42 })]);
  });

  it("end when KVM's table is full, and go on when one is given back", () => {
    const routes = new GsiRoutes(new NotedVm());
    const given: number[] = [];
    for (let gsi = routes.allocate(); gsi !== undefined; gsi = routes.allocate()) given.push(gsi);
    expect(given.length).toBeGreaterThan(4000);
    expect(new Set(given).size).toBe(given.length);
    routes.free(given[5] as number);
    expect(routes.allocate()).toBe(given[5]);
  });

  it("never give one GSI to two, whatever is allocated and freed", () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.nat(20), { nil: undefined }), { maxLength: 60 }), (steps) => {
        const routes = new GsiRoutes(new NotedVm());
        const held: number[] = [];
        for (const step of steps) {
          if (step === undefined || held.length === 0) {
            const gsi = routes.allocate() as number;
            expect(gsi).toBeGreaterThanOrEqual(GSI_MESSAGES);
            expect(held).not.toContain(gsi);
            held.push(gsi);
          } else {
            routes.free(held.splice(step % held.length, 1)[0] as number);
          }
        }
      }),
    );
  });
});
