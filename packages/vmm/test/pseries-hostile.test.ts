// The guest is an adversary: whatever it passes to hypercalls, RTAS, device registers and configuration space, the
// machine answers with a code and touches nothing but the guest's RAM.
import { modelHost } from "@minivmm/model-host";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DmaWindows } from "../src/machines/pseries/ddw.ts";
import { SpaprSession } from "../src/pci/spapr-session.ts";
import { VfioPciEndpoint } from "../src/pci/vfio-pci.ts";
import { bench } from "./fakes.ts";
import { act } from "./hostile-acts.ts";

describe("vmm pseries: a hostile guest", () => {
  it("never makes the machine throw, return an undefined code, or write outside guest RAM", () => {
    fc.assert(
      fc.property(fc.array(act, { minLength: 1, maxLength: 40 }), (acts) => {
        const b = bench({ dmaWindowBytes: 0x10_0000 });
        for (const one of acts) one(b);
        expect(b.guardIntact()).toBe(true);
      }),
      { numRuns: 800 },
    );
  });

  it("does no better with a function of the host in its hands", () => {
    fc.assert(
      fc.property(fc.array(act, { minLength: 1, maxLength: 40 }), (acts) => {
        const model = modelHost("power9");
        const host = model.spawn({ memlock: Number.POSITIVE_INFINITY });
        const b = bench({ dmaWindowBytes: 0x10_0000 });
        const session = new SpaprSession({
          host,
          ram: b.ram,
          windows: b.machine.tables.on(DmaWindows.liobns),
        });
        b.machine.phb.plug(new VfioPciEndpoint("disk", host, session.open("0001:01:00.0")), 2);
        for (const one of acts) one(b);
        b.machine.close();
        session.close();
        model.close();
        expect(b.guardIntact()).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});
