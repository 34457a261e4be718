// Hypercalls on TCEs in real mode: a guest's loop on the CPU engine, answered without leaving it. A hardware table follows.
// Aim: 5 million H_PUT_TCE a second, 5 microseconds for an H_STUFF_TCE of 512 entries that are mapped.
// Printed in the processor's own time too, because a busy machine shows longer ones on the clock.

import { H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE } from "@minivmm/kvm";
import { type Assembler, r3, r4, r5, r6, r7, r8, r9, r10 } from "@minivmm/ppc64/asm";
import { bench, describe } from "vitest";
import { ask, guestRig } from "../test/guest-rig.ts";
import { LIOBN } from "../test/kvm-rig.ts";

const PAGES = 512;
const LIST = 0x1_0000;

const { run, call, list } = guestRig();
// Pages and levels of the whole window, which virtual mode makes.
const WINDOW = 0x4000_0000;
for (let at = 0; at < WINDOW; at += 8192 * 4096) call(H_PUT_TCE, LIOBN, at, 3);
call(H_STUFF_TCE, LIOBN, 0, 0, WINDOW / 4096);
list(
  LIST,
  Array.from({ length: PAGES }, (_, i) => (i << 12) | 3),
);

function loop(times: number, body: (a: Assembler) => void): () => void {
  return () => {
    const exits = run((a) => {
      a.li64(r10, times);
      a.mtctr(r10);
      a.li64(r8, 0x1000);
      a.label("again");
      body(a);
      a.bdnz("again");
    });
    if (exits > 0) throw new Error(`the guest left the CPU ${exits} times`);
  };
}

/** Prints microseconds of the processor for each of `calls`, the least of some rounds, after `prepare`. */
function measured(name: string, calls: number, act: () => void, prepare: () => void = () => {}): void {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 12; round++) {
    prepare();
    const before = process.cpuUsage();
    act();
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, user + system);
  }
  console.log(`${name}: ${(least / calls).toFixed(3)} us`);
}

const PUTS = 1_000_000;
const put = loop(PUTS / 2, (a) => {
  ask(a, H_PUT_TCE, 0x1000, 0x2_0003);
  a.li(r3, H_PUT_TCE);
  a.li(r6, 0);
  a.sc(1);
});
const remap = loop(PUTS, (a) => {
  a.li(r3, H_PUT_TCE);
  a.li64(r5, 0x1000);
  a.xori(r9, r8, 0x2003);
  a.mr(r6, r9);
  a.sc(1);
});
const LISTS = 2000;
const stuffed = loop(LISTS, (a) => ask(a, H_STUFF_TCE, 0, 0, PAGES));
const mapped = loop(LISTS, (a) => ask(a, H_PUT_TCE_INDIRECT, 0, LIST, PAGES));
/** The whole window in steps of 512. */
const RANGES = WINDOW / 4096 / PAGES;
function allRanges(nr: number, value: number): () => void {
  return loop(RANGES, (a) => {
    a.li64(r3, nr);
    a.li64(r4, LIOBN);
    a.addi(r5, r8, -0x1000);
    a.li64(r6, value);
    a.li64(r7, PAGES);
    a.sc(1);
    a.addis(r8, r8, (PAGES * 4096) >> 16);
  });
}
const fill = allRanges(H_PUT_TCE_INDIRECT, LIST);
const clear = allRanges(H_STUFF_TCE, 0);

describe("spapr-iommu real mode: a guest's loop", () => {
  measured("H_PUT_TCE, a page mapped and unmapped", PUTS, put);
  measured("H_STUFF_TCE of 512 empty entries", LISTS, stuffed);
  measured("H_PUT_TCE_INDIRECT of 512 over mapped entries", LISTS, mapped);
  measured("H_PUT_TCE_INDIRECT of 512 into empty entries", RANGES, fill, clear);
  measured("H_STUFF_TCE of 512 mapped entries", RANGES, clear, fill);
  bench("1 000 000 H_PUT_TCE, a page mapped and unmapped", put);
  bench("1 000 000 H_PUT_TCE over a mapped page", remap);
  bench("2000 H_STUFF_TCE of 512 empty entries", stuffed);
  bench("2000 H_PUT_TCE_INDIRECT of 512 over mapped ones", mapped);
  bench("512 pairs of H_PUT_TCE_INDIRECT and H_STUFF_TCE of 512", () => {
    fill();
    clear();
  });
});
