// What an exit costs a guest, whole way: a loop of half a million exits on the CPU engine, the machine's answer and
// back; under KVM through the modelled kernel, KVM_RUN's return and its next call. One run makes a VM (some milliseconds) and does the loop. The last one maps and unmaps a page in a VFIO
// container of the modelled host with each pair of hypercalls.

import { H_CPPR, H_PROD, H_PUT_TCE } from "@minivmm/kvm";
import { modelHost } from "@minivmm/model-host";
import { Assembler, buildElf, PF_R, PF_X, r3, r4, r5, r6, r12, r14, r15, r16 } from "@minivmm/ppc64/asm";
import { bench, describe } from "vitest";
import { PHB_BUID_LO, pciLiobn } from "../src/machines/pseries/memory-map.ts";
import { createVm } from "../src/vm.ts";

const EXITS = 500_000;
const NOWHERE = 0x3000_0000_0000n;

function loop(count: number, body: (a: Assembler) => void): Uint8Array {
  const a = new Assembler({ origin: 0 });
  a.li64(r14, NOWHERE);
  a.li64(r15, BigInt(pciLiobn(0)));
  a.li64(r16, BigInt(count));
  a.label("again");
  body(a);
  a.addi(r16, r16, -1);
  a.cmpdi(r16, 0);
  a.bne("again");
  // Outside RAM nothing can be fetched: the CPU halts, which ends the run.
  a.li64(r12, BigInt(PHB_BUID_LO) << 8n);
  a.mtctr(r12);
  a.bctr();
  return buildElf({ entry: 0, segments: [{ address: 0, bytes: a.bytes(), flags: PF_R | PF_X }] });
}

async function run(kernel: Uint8Array, accel: "soft" | "kvm" = "soft", passthrough = false): Promise<void> {
  using model = modelHost("power9");
  using vm = await createVm(model.spawn({ memlock: Number.POSITIVE_INFINITY }), {
    machine: "pseries",
    memoryBytes: 16 * 0x10_0000,
    kernel: { bytes: kernel },
    clock: accel === "kvm" ? "wall" : "instructions",
    accel,
    devices: passthrough ? [{ driver: "vfio-pci", host: "0001:01:00.0" }] : [],
    console: { write: () => {} },
  });
  const exit = await vm.run();
  if (exit.reason !== "halt") throw new Error(`the loop ended by ${exit.reason}`);
}

const empty = loop(EXITS, () => {});
const hypercall = loop(EXITS, (a) => {
  a.li(r3, H_CPPR);
  a.li(r4, 0);
  a.sc(1);
});
/** To itself: changes nothing, and needs no interrupt controller. */
const inKernel = loop(EXITS, (a) => {
  a.li(r3, H_PROD);
  a.li(r4, 0);
  a.sc(1);
});
const load = loop(EXITS, (a) => {
  a.ld(r3, 0, r14);
});
const tce = (value: bigint) => (a: Assembler) => {
  a.li(r3, H_PUT_TCE);
  a.mr(r4, r15);
  a.li(r5, 0x1000);
  a.li64(r6, value);
  a.sc(1);
};
const mapAndUnmap = loop(EXITS / 2, (a) => {
  tce(0x10_0003n)(a);
  tce(0n)(a);
});

describe(`guest exits, ${EXITS} a run`, () => {
  const options = { iterations: 4, warmupIterations: 1, time: 0 };
  bench("no exit (the loop itself)", () => run(empty), options);
  bench("hypercall", () => run(hypercall), options);
  bench("load outside RAM", () => run(load), options);
  bench("H_PUT_TCE through MAP_DMA and UNMAP_DMA", () => run(mapAndUnmap, "soft", true), options);
  bench("KVM: no exit", () => run(empty, "kvm"), options);
  bench("KVM: hypercall that the kernel answers", () => run(inKernel, "kvm"), options);
  bench("KVM: hypercall to user space", () => run(hypercall, "kvm"), options);
  bench("KVM: load outside RAM", () => run(load, "kvm"), options);
});
