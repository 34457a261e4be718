// What every guest program here is written with: the mini assembler, plus texts, subroutine frames and printing.
// Conventions inside these programs: r3..r12 are scratch and arguments, r14..r31 survive calls, r1 is the stack.

import { Assembler, r0, r1, r3, r4 } from "@minivmm/ppc64/asm";

/** Frame: back chain, CR and LR words of the ABI (32 bytes), then the saved registers, then locals. */
const FRAME_HEADER = 32;

export class GuestCode {
  readonly a: Assembler;
  private readonly texts = new Map<string, string>();
  private unique = 0;

  constructor(origin: number) {
    this.a = new Assembler({ origin });
  }

  /** A label that nobody else uses. */
  fresh(stem: string): string {
    this.unique += 1;
    return `${stem}.${this.unique}`;
  }

  /** Label of a text placed behind the code by placeTexts(). */
  text(text: string): string {
    let label = this.texts.get(text);
    if (label === undefined) {
      label = this.fresh("text");
      this.texts.set(text, label);
    }
    return label;
  }

  /** Prints a fixed text by the routine "puts" (r3 = address, r4 = length). */
  print(text: string): void {
    this.a.la(r3, this.text(text));
    this.a.li(r4, new TextEncoder().encode(text).length);
    this.a.bl("puts");
  }

  /**
   * A subroutine: saves LR and the non-volatile registers that the body uses, makes room for locals, restores, returns.
   * The body gets the offset of its locals from r1, and may jump to the label `${name}.return`.
   */
  routine(name: string, saved: readonly number[], localBytes: number, body: (locals: number) => void): void {
    const { a } = this;
    const locals = FRAME_HEADER + saved.length * 8;
    const frame = (locals + localBytes + 15) & ~15;
    a.label(name);
    a.mflr(r0);
    a.std(r0, 16, r1);
    a.stdu(r1, -frame, r1);
    saved.forEach((r, i) => {
      a.std(r, FRAME_HEADER + i * 8, r1);
    });
    body(locals);
    a.label(`${name}.return`);
    saved.forEach((r, i) => {
      a.ld(r, FRAME_HEADER + i * 8, r1);
    });
    a.addi(r1, r1, frame);
    a.ld(r0, 16, r1);
    a.mtlr(r0);
    a.blr();
  }

  /** Places all texts (zero-terminated, for system calls) and returns the finished bytes. */
  finish(): Uint8Array {
    for (const [text, label] of this.texts) {
      this.a.label(label);
      this.a.asciz(text);
    }
    this.a.align(8);
    return this.a.bytes();
  }
}
