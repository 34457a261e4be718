// What an exit of the guest costs in the machine: a hypercall from dispatch to return code, a load and a store that
// reach a BAR, an RTAS call.

import { H_CPPR, H_PUT_TCE } from "@minivmm/kvm";
import { bench, describe } from "vitest";
import { PHB_BUID_HI, PHB_BUID_LO, pciLiobn } from "../src/machines/pseries/memory-map.ts";
import { RTAS_IBM_READ_PCI_CONFIG } from "../src/machines/pseries/rtas/tokens.ts";
import { RTAS_FRAME, bench as testBench } from "../test/fakes.ts";

const BATCH = 1000;
const { machine, ram } = testBench();
const registers = new Uint32Array(64);
const out = new Uint32Array(2);
machine.phb.writeConfig(0x810, 4, 0x8000_0000);
machine.phb.writeConfig(0x804, 2, 2);
[RTAS_IBM_READ_PCI_CONFIG, 4, 2, 0x800, PHB_BUID_HI, PHB_BUID_LO, 4].forEach((word, i) => {
  ram.setU32be(RTAS_FRAME + i * 4, word);
});

describe(`machine exits, ${BATCH} a run`, () => {
  bench("H_CPPR", () => {
    for (let i = 0; i < BATCH; i++) {
      registers[6] = H_CPPR;
      registers[7] = 0;
      machine.hcalls.dispatch(registers);
    }
  });
  bench("H_PUT_TCE", () => {
    for (let i = 0; i < BATCH; i++) {
      registers[6] = H_PUT_TCE;
      registers[7] = 0;
      registers[8] = pciLiobn(0);
      registers[10] = (i & 0xff) << 12;
      registers[12] = (i << 12) | 3;
      machine.hcalls.dispatch(registers);
    }
  });
  bench("load from a BAR", () => {
    for (let i = 0; i < BATCH; i++) machine.mmioRead(0x2000_8000_0010, 4, out);
  });
  bench("store to a BAR", () => {
    for (let i = 0; i < BATCH; i++) machine.mmioWrite(0x2000_8000_0010, 4, i, 0);
  });
  bench("RTAS configuration read", () => {
    for (let i = 0; i < BATCH; i++) machine.rtas.dispatch(RTAS_FRAME);
  });
});
