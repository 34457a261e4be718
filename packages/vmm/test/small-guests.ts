// Guest programs of a few instructions for tests of a whole VM. They run at real address 0 in 64-bit little-endian
// mode; the exception vectors are theirs.

import { H_CEDE, H_PUT_TERM_CHAR } from "@minivmm/kvm";
import { Assembler, buildElf, PF_R, PF_W, PF_X, r3, r4, r5, r6, r7, r12 } from "@minivmm/ppc64/asm";
import { RTAS_POWER_OFF, RTAS_SYSTEM_REBOOT } from "../src/machines/pseries/rtas/tokens.ts";

const RTAS_ENTRY = 0x7fff0000n;
const VECTOR_DECREMENTER = 0x900;
const SPR_DEC = 22;
const CODE = 0x1_0000;
const FRAME = 0x2_0000n;

function image(code: Uint8Array, frame: readonly number[], vector?: Uint8Array): Uint8Array {
  const words = new DataView(new ArrayBuffer(frame.length * 4));
  frame.forEach((word, i) => {
    words.setUint32(i * 4, word);
  });
  const segments = [
    { address: CODE, bytes: code, flags: PF_R | PF_X },
    { address: Number(FRAME), bytes: new Uint8Array(words.buffer), flags: PF_R | PF_W },
  ];
  if (vector !== undefined) segments.unshift({ address: VECTOR_DECREMENTER, bytes: vector, flags: PF_R | PF_X });
  return buildElf({ entry: CODE, segments });
}

function print(a: Assembler, text: string): void {
  const packed = new DataView(new ArrayBuffer(16));
  new Uint8Array(packed.buffer).set(new TextEncoder().encode(text));
  a.li(r3, H_PUT_TERM_CHAR);
  a.li(r4, 0);
  a.li(r5, text.length);
  a.li64(r6, packed.getBigUint64(0));
  a.li64(r7, packed.getBigUint64(8));
  a.sc(1);
}

function callRtas(a: Assembler): void {
  a.li64(r3, FRAME);
  a.li64(r12, RTAS_ENTRY);
  a.mtctr(r12);
  a.bctrl();
}

const POWER_OFF = [RTAS_POWER_OFF, 2, 1, 0xffffffff, 0xffffffff, 0];
const REBOOT = [RTAS_SYSTEM_REBOOT, 0, 1, 0];

/** Prints a line (up to 16 characters) and powers off, or reboots. */
export function printAndEnd(text: string, end: "power-off" | "reset" = "power-off"): Uint8Array {
  const a = new Assembler({ origin: CODE });
  print(a, text);
  callRtas(a);
  return image(a.bytes(), end === "power-off" ? POWER_OFF : REBOOT);
}

/** Branches to itself. */
export function spin(): Uint8Array {
  const a = new Assembler({ origin: CODE });
  a.label("here");
  a.b("here");
  return image(a.bytes(), []);
}

/** Sets the decrementer, cedes until it fires, and powers off from its vector. */
export function sleepThenEnd(ticks: number): Uint8Array {
  const vector = new Assembler({ origin: VECTOR_DECREMENTER });
  callRtas(vector);
  const a = new Assembler({ origin: CODE });
  a.li64(r3, BigInt(ticks));
  a.mtspr(SPR_DEC, r3);
  a.label("again");
  a.li(r3, H_CEDE);
  a.sc(1);
  a.b("again");
  return image(a.bytes(), POWER_OFF, vector.bytes());
}

/** Cedes with the decrementer at its largest value: sleeps for seconds. */
export function sleepLong(): Uint8Array {
  return sleepThenEnd(0x7fffffff);
}

/** Loads from an address where nothing is, then prints what it got as "ones" or "other", and powers off. */
export function probeNothing(): Uint8Array {
  const a = new Assembler({ origin: CODE });
  a.li64(r4, 0x3000_0000_0000n);
  a.ld(r5, 0, r4);
  a.std(r5, 8, r4);
  a.cmpdi(r5, -1);
  a.beq("ones");
  print(a, "other\n");
  a.label("ones");
  print(a, "ones\n");
  callRtas(a);
  return image(a.bytes(), POWER_OFF);
}
