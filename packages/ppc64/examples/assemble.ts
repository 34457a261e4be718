// Assembles a small Linux program, prints its listing and writes it as an ELF file when a path is given:
//   npx tsx --conditions=source examples/assemble.ts /tmp/hello && qemu-ppc64le /tmp/hello
import { writeFileSync } from "node:fs";
import { Assembler, buildElf, disassemble, PF_R, PF_X, r0, r3, r4, r5, r14 } from "@minivmm/ppc64/asm";

const ORIGIN = 0x400000;
const a = new Assembler({ origin: ORIGIN });
a.li(r14, 3);
a.label("again");
a.li(r0, 4); // write
a.li(r3, 1);
a.la(r4, "text");
a.li(r5, 6);
a.sc();
a.subi(r14, r14, 1);
a.cmpdi(r14, 0);
a.bne("again");
a.li(r0, 1); // exit
a.li(r3, 0);
a.sc();
const codeBytes = a.size;
a.label("text");
a.ascii("hello\n");

const bytes = a.bytes();
const view = new DataView(bytes.buffer);
for (let at = 0; at < codeBytes; at += 4) {
  const word = view.getUint32(at, true);
  const listing = disassemble(word, ORIGIN + at);
  console.log(`${(ORIGIN + at).toString(16)}  ${word.toString(16).padStart(8, "0")}  ${listing}`);
}

const path = process.argv[2];
if (path !== undefined) {
  const elf = buildElf({ entry: ORIGIN, segments: [{ address: ORIGIN, bytes, flags: PF_R | PF_X }] });
  writeFileSync(path, elf, { mode: 0o755 });
}
