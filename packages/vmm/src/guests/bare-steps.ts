// Steps that every program with a PCI function takes: see that it is there, give BARs an address, say what went wrong and end.
// Registers: r31 = BAR 0 of the NVMe controller afterwards; r27 = the number that a FAIL line shows.
import { r3, r4, r5, r27, r31 } from "@minivmm/ppc64/asm";
import type { BareSettings } from "./bare-layout.ts";
import type { GuestCode } from "./guest-code.ts";

const PCI_VENDOR_ID = 0x00;
const PCI_COMMAND = 0x04;
const PCI_CLASS_REVISION = 0x08;
const PCI_BASE_ADDRESS_0 = 0x10;
const PCI_COMMAND_MEMORY_MASTER = 6;
const CLASS_NVME = 0x010802;

export function findController(code: GuestCode): void {
  findFunction(code, CLASS_NVME, "an NVMe controller");
}

/** Ends with a FAIL line unless the function in the slot is of the class, the base, sub and interface bytes. */
export function findFunction(code: GuestCode, classCode: number, what: string): void {
  const { a } = code;
  a.li(r3, PCI_VENDOR_ID);
  a.li(r4, 4);
  a.bl("readConfig");
  a.mr(r27, r3);
  code.print("pci: device ");
  printNumber(code, r27, "putHex");
  a.li(r3, PCI_CLASS_REVISION);
  a.li(r4, 4);
  a.bl("readConfig");
  a.srdi(r27, r3, 8);
  code.print(", class ");
  printNumber(code, r27, "putHex");
  code.print("\n");
  a.li64(r4, classCode);
  a.cmpd(r27, r4);
  failUnlessEqual(code, `not ${what}, class`);
}

/** BAR 0 is 64 bits wide, whichever window it goes to. Memory decoding and bus mastering come after the address. */
export function assignBar(code: GuestCode, s: BareSettings): void {
  assignBars(code, [s.barBusAddress % 2 ** 32, Math.floor(s.barBusAddress / 2 ** 32)]);
  code.a.li64(r31, s.barRealAddress);
}

/** Values of the BAR registers from the first one on; undefined: as it is. Then memory decoding and bus mastering. */
export function assignBars(code: GuestCode, values: readonly (number | undefined)[]): void {
  values.forEach((value, index) => {
    if (value !== undefined) setRegister(code, PCI_BASE_ADDRESS_0 + 4 * index, 4, value);
  });
  setRegister(code, PCI_COMMAND, 2, PCI_COMMAND_MEMORY_MASTER);
}

function setRegister(code: GuestCode, register: number, size: number, value: number): void {
  const { a } = code;
  a.li(r3, register);
  a.li(r4, size);
  a.li64(r5, value);
  a.bl("writeConfig");
  failUnlessZero(code, "writing configuration space, RTAS status");
}

export function printNumber(code: GuestCode, register: number, routine: "putDecimal" | "putHex"): void {
  code.a.mr(r3, register);
  code.a.bl(routine);
}

/** Ends with a FAIL line unless r3 is zero; r3 is the number that the line shows. */
export function failUnlessZero(code: GuestCode, what: string): void {
  code.a.mr(r27, r3);
  code.a.cmpdi(r3, 0);
  failUnlessEqual(code, what);
}

/** Ends with a FAIL line, the number in r27 and power-off, unless CR0 says equal. */
export function failUnlessEqual(code: GuestCode, what: string): void {
  const good = code.fresh("good");
  code.a.beq(good);
  code.print(`\nminivmm-bare: FAIL ${what} `);
  printNumber(code, r27, "putHex");
  code.print("\n");
  code.a.b("powerOff");
  code.a.label(good);
}
