// A boot sector: 16-bit code that writes a greeting to the first serial port, waiting for room before each character.
// Writes the image to a file when a path is given: npx tsx --conditions=source examples/boot-sector.ts /tmp/boot.img
import { writeFileSync } from "node:fs";
import { Assembler, al, ax, cx, ds, dx, mem, si } from "@minivmm/x86asm";

const COM1 = 0x3f8;
const a = new Assembler({ bits: 16, origin: 0x7c00 });
a.xor(ax, ax);
a.mov(ds, ax);
a.mov(si, "text");
a.mov(cx, "end");
a.sub(cx, si);
a.label("next");
a.mov(dx, COM1 + 5); // line status
a.label("wait");
a.in(al, dx);
a.test(al, 0x20);
a.je("wait");
a.mov(al, mem(si));
a.mov(dx, COM1);
a.out(dx, al);
a.inc(si);
a.loop("next");
a.label("stop");
a.hlt();
a.jmp("stop");
a.label("text");
a.ascii("hello\r\n");
a.label("end");
a.space(0x7c00 + 510 - a.here);
a.u16(0xaa55);

const image = a.bytes();
console.log(`${image.length} bytes, text at 0x${a.addressOf("text").toString(16)}`);
console.log(Buffer.from(image.subarray(0, a.addressOf("end") - a.origin)).toString("hex"));

const path = process.argv[2];
if (path !== undefined) writeFileSync(path, image);
