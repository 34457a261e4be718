// A guest of twenty instructions on machine pseries: it prints a line by hypercall and powers off through RTAS.

import { modelHost } from "@minivmm/model-host";
import { Assembler, buildElf, PF_R, PF_W, PF_X, r3, r4, r5, r6, r7, r12 } from "@minivmm/ppc64/asm";
import { createVm } from "@minivmm/vmm";

const H_PUT_TERM_CHAR = 0x58;
const RTAS_ENTRY = 0x7fff0000n;
const RTAS_POWER_OFF = 0x2003;

function helloGuest(text: string): Uint8Array {
  const a = new Assembler({ origin: 0 });
  // Up to 16 characters go in two registers, the first in the most significant byte.
  const packed = new DataView(new ArrayBuffer(16));
  new Uint8Array(packed.buffer).set(new TextEncoder().encode(text));
  a.li(r3, H_PUT_TERM_CHAR);
  a.li(r4, 0);
  a.li(r5, text.length);
  a.li64(r6, packed.getBigUint64(0));
  a.li64(r7, packed.getBigUint64(8));
  a.sc(1);
  // RTAS: the address of a frame (token, 2 arguments, 1 result, big-endian) in r3, the return address in LR.
  a.li64(r3, 0x10000n);
  a.li64(r12, RTAS_ENTRY);
  a.mtctr(r12);
  a.bctrl();
  const frame = new DataView(new ArrayBuffer(24));
  for (const [i, word] of [RTAS_POWER_OFF, 2, 1, 0xffffffff, 0xffffffff, 0].entries()) frame.setUint32(i * 4, word);
  return buildElf({
    entry: 0,
    segments: [
      { address: 0, bytes: a.bytes(), flags: PF_R | PF_X },
      { address: 0x10000, bytes: new Uint8Array(frame.buffer), flags: PF_R | PF_W },
    ],
  });
}

using machine = modelHost("power9");
using vm = await createVm(machine.spawn(), {
  machine: "pseries",
  memoryBytes: 16 * 1024 * 1024,
  kernel: { bytes: helloGuest("Hello, pseries\n") },
  console: { write: (bytes) => process.stdout.write(bytes) },
});
const exit = await vm.run();
console.log(`${exit.reason}, status ${exit.status}; hypercalls: ${JSON.stringify(vm.summary().hypercalls)}`);
