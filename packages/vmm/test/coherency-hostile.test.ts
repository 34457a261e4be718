// The checker of DMA and a guest that is an adversary: whatever mappings it makes and wherever it sends a device, nothing throws,
// nothing but RAM is touched, and what is kept stays bounded.
import { type EduDevice, edu } from "@minivmm/pci/devices";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { REPORTS_MAX } from "../src/coherency/report.ts";
import { attachChecker } from "../src/machines/pseries/coherency/attach.ts";
import { CacheShadow } from "../src/machines/pseries/coherency/cache-shadow.ts";
import { DmaWindows } from "../src/machines/pseries/ddw.ts";
import { TceDma } from "../src/machines/pseries/tce-dma.ts";
import { EmulatedEndpoint } from "../src/pci/emulated.ts";
import { type Bench, bench, RAM_BYTES } from "./fakes.ts";
import { type Act, act } from "./hostile-acts.ts";

const EDU_BUFFER = 0x4_0000;

/** The device copies to or from a bus address near something. */
const dma = fc
  .record({
    hi: fc.constantFrom(0, 0, 0, 0x800_0000, 0x1f_ffff, 0xffff_ffff),
    lo: fc.oneof(fc.nat(260 * 4096), fc.integer({ min: 0xffff_f000, max: 0xffff_ffff }), fc.nat(0xffff_ffff)),
    count: fc.nat(4096),
    write: fc.boolean(),
  })
  .map(({ hi, lo, count, write }) => (device: EduDevice) => {
    const set = (register: number, low: number, high = 0): void => device.writeBar(0, register, 8, low, high);
    set(0x80, write ? EDU_BUFFER : lo, write ? 0 : hi);
    set(0x88, write ? lo : EDU_BUFFER, write ? hi : 0);
    set(0x90, count);
    set(0x98, write ? 3 : 1);
  });
/** What the CPU would tell of itself. */
const told = fc
  .record({ address: fc.nat(RAM_BYTES - 8), bytes: fc.constantFrom(1, 2, 4, 8), write: fc.boolean(), kind: fc.nat(5) })
  .map(({ address, bytes, write, kind }) => (shadow: CacheShadow) => {
    if (kind === 0) shadow.flushed(address - (address % 128), write);
    else if (kind === 1) shadow.synced();
    else if (kind === 2) shadow.accessed(address, bytes, write, { cached: false, whole: false });
    else {
      shadow.using(Math.floor(address / 4096), write);
      if (shadow.watches(Math.floor(address / 4096))) {
        shadow.accessed(address, bytes, write, { cached: true, whole: false });
      }
    }
  });

type Any =
  | { readonly guest: Act }
  | { readonly device: (device: EduDevice) => void }
  | { readonly cpu: (shadow: CacheShadow) => void };

const any: fc.Arbitrary<Any> = fc.oneof(
  act.map((guest) => ({ guest })),
  dma.map((device) => ({ device })),
  told.map((cpu) => ({ cpu })),
);

function checked(): { b: Bench; device: EduDevice; shadow: CacheShadow; reports(): number } {
  const b = bench({ dmaWindowBytes: 0x10_0000 });
  const shadow = new CacheShadow();
  let steps = 0;
  const cpu = {
    pc: () => 0xc000_0000_0000_0000n,
    hypercall: () => -1,
    retired: () => steps++,
    forgetTranslations: () => {},
  };
  const checker = attachChecker({ machine: b.machine, ram: b.ram, shadow, cpu }, {});
  const after = (_: number, run: () => void) => {
    run();
    return { cancel: () => undefined };
  };
  const device = edu({ after, dmaBits: 64, noSnoop: true });
  const port = checker.guard("edu", new TceDma(b.machine.tables, DmaWindows.liobns, b.ram), DmaWindows.liobns);
  b.machine.phb.plug(new EmulatedEndpoint("edu", device, port));
  device.config.write(4, 2, 6);
  return { b, device, shadow, reports: () => checker.log.summary().coherency.length };
}

describe("vmm coherency: a hostile guest", () => {
  it("never makes the checker throw, nor keep more than it may", () => {
    let found = 0;
    fc.assert(
      fc.property(fc.array(any, { minLength: 1, maxLength: 60, size: "max" }), (acts) => {
        const { b, device, shadow, reports } = checked();
        for (const each of acts) {
          if ("guest" in each) each.guest(b);
          else if ("device" in each) each.device(device);
          else each.cpu(shadow);
        }
        expect(b.guardIntact()).toBe(true);
        expect(reports()).toBeLessThanOrEqual(REPORTS_MAX);
        found += reports();
      }),
      { numRuns: 200 },
    );
    expect(found).toBeGreaterThan(100);
  });
});
