// The keys of a terminal that are meant for minivmm: Ctrl-A is a prefix, as in QEMU's -nographic.
//   Ctrl-A x  leave     Ctrl-A h  help     Ctrl-A a  attributes of the guest's pages     Ctrl-A Ctrl-A  send a Ctrl-A
// Anything else is dropped with its prefix.
// Invariant: the state outlives a chunk, so a prefix and its key may arrive in different reads.

const PREFIX = 0x01;
const KEYS: Readonly<Record<string, EscapeAction>> = {
  x: "quit",
  X: "quit",
  h: "help",
  H: "help",
  "?": "help",
  a: "attributes",
  A: "attributes",
};

export type EscapeAction = "quit" | "help" | "attributes";

export const ESCAPE_HELP = [
  "Ctrl-A h  this help",
  "Ctrl-A a  memory types of the guest's pages, who pins them, whether DMA snoops",
  "Ctrl-A x  end the virtual machine",
  "Ctrl-A Ctrl-A  send Ctrl-A",
];

export class EscapeFilter {
  private prefixed = false;

  /** Splits input into what the guest gets and what is asked of minivmm. After "quit" the rest is dropped. */
  feed(input: Uint8Array): { guest: Uint8Array; actions: EscapeAction[] } {
    const guest: number[] = [];
    const actions: EscapeAction[] = [];
    for (const byte of input) {
      if (!this.prefixed) {
        if (byte === PREFIX) this.prefixed = true;
        else guest.push(byte);
        continue;
      }
      this.prefixed = false;
      if (byte === PREFIX) guest.push(byte);
      const action = KEYS[String.fromCharCode(byte)];
      if (action !== undefined) actions.push(action);
      if (action === "quit") break;
    }
    return { guest: Uint8Array.from(guest), actions };
  }
}
