// The terminal: Ctrl-A keys, raw mode that is always given back, pipes that are passed through.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EscapeFilter } from "../src/console/escape.ts";
import { watchSignals } from "../src/console/signals.ts";
import { TerminalConsole, type TerminalInput } from "../src/console/terminal.ts";
import { Capture, FakeTerminal } from "./helpers.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("cli console: escape keys", () => {
  it("send Ctrl-A, leave, help, and drop what is no key", () => {
    const filter = new EscapeFilter();
    expect(filter.feed(bytes("a\x01\x01b\x01hc\x01zd\x01A\x01a\x01xe"))).toEqual({
      guest: bytes("a\x01bcd"),
      actions: ["help", "attributes", "attributes", "quit"],
    });
  });

  it("do not depend on how input is cut into pieces", () => {
    const key = fc.constantFrom("a", "\x01", "x", "h", "z");
    fc.assert(
      fc.property(fc.array(fc.array(key), { maxLength: 6 }), (pieces) => {
        const whole = new EscapeFilter().feed(bytes(pieces.flat().join("")));
        const cut = new EscapeFilter();
        const guest: number[] = [];
        const actions: string[] = [];
        for (const piece of pieces) {
          if (actions.includes("quit")) break;
          const part = cut.feed(bytes(piece.join("")));
          guest.push(...part.guest);
          actions.push(...part.actions);
        }
        expect({ guest, actions }).toEqual({ guest: [...whole.guest], actions: whole.actions });
      }),
    );
  });
});

function consoleOn(input: FakeTerminal) {
  const output = new Capture();
  const messages = new Capture();
  const got: number[] = [];
  let quits = 0;
  let reports = 0;
  const terminal = new TerminalConsole({
    input: input as unknown as TerminalInput,
    output,
    messages,
    onInput: (typed) => got.push(...typed),
    onQuit: () => quits++,
    onAttributes: () => reports++,
  });
  return { terminal, output, messages, got, quits: () => quits, reports: () => reports };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("cli console: terminal", () => {
  it("is raw while the guest has it, and put back once", async () => {
    const input = new FakeTerminal(true);
    const { terminal, got, messages, quits } = consoleOn(input);
    expect(input.isRaw).toBe(true);
    input.write("ls\x03\x01h\x01x");
    await turn();
    expect(String.fromCharCode(...got)).toBe("ls\x03");
    expect(messages.text).toContain("Ctrl-A x");
    expect(quits()).toBe(1);
    terminal.close();
    terminal.close();
    expect(input.modes).toEqual([true, false]);
  });

  it("is put back when the process ends before anyone closed it", () => {
    const input = new FakeTerminal(true);
    const before = process.listenerCount("exit");
    const { terminal } = consoleOn(input);
    const restore = process.listeners("exit").at(-1) as () => void;
    restore();
    expect(input.isRaw).toBe(false);
    terminal.close();
    expect(process.listenerCount("exit")).toBe(before);
  });

  it("hands Ctrl-A a on, and writes what is not the guest's on lines of its own", async () => {
    const input = new FakeTerminal(true);
    const { terminal, got, messages, reports } = consoleOn(input);
    input.write("x\x01ay");
    await turn();
    expect(String.fromCharCode(...got)).toBe("xy");
    expect(reports()).toBe(1);
    terminal.tell("one\ntwo\n");
    expect(messages.text).toBe("\r\none\r\ntwo\r\n");
    terminal.close();
    terminal.tell("three\n");
    expect(messages.text).toMatch(/two\r\nthree\n$/);
  });

  it("passes bytes of a pipe on unchanged and ignores its end", async () => {
    const input = new FakeTerminal(false);
    const { terminal, got, quits } = consoleOn(input);
    input.end(Buffer.from([0, 1, 0x78, 255]));
    await turn();
    await turn();
    expect(got).toEqual([0, 1, 0x78, 255]);
    expect(input.modes).toEqual([]);
    expect(quits()).toBe(0);
    terminal.close();
  });

  it("asks to leave when nobody reads the output any more", () => {
    const { terminal, output, quits } = consoleOn(new FakeTerminal(false));
    output.destroy(new Error("EPIPE"));
    return turn().then(() => {
      expect(quits()).toBe(1);
      terminal.write(bytes("into the void"));
      terminal.close();
    });
  });
});

describe("cli console: signals", () => {
  it("ask once and give the shell's status", () => {
    let asked = 0;
    const watch = watchSignals(() => asked++);
    expect(watch.status).toBeUndefined();
    process.emit("SIGTERM", "SIGTERM");
    expect({ asked, status: watch.status, received: watch.received }).toEqual({
      asked: 1,
      status: 143,
      received: "SIGTERM",
    });
    watch.close();
    expect(process.listeners("SIGTERM")).toHaveLength(0);
  });

  it("SIGUSR1 asks for a report each time, where somebody makes one, and ends nothing", () => {
    let reports = 0;
    const watch = watchSignals(
      () => undefined,
      () => reports++,
    );
    process.emit("SIGUSR1", "SIGUSR1");
    process.emit("SIGUSR1", "SIGUSR1");
    expect({ reports, received: watch.received }).toEqual({ reports: 2, received: undefined });
    watch.close();
    watchSignals(() => undefined).close();
    expect(process.listenerCount("SIGUSR1")).toBe(0);
  });
});
