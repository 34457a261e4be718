// The guest's console on this process's terminal or pipes. On a terminal every key goes to the guest (raw mode), except
// behind Ctrl-A; on a pipe bytes are passed on as they are and the end of input means nothing.
// Invariant: the terminal is put back into its former state by close(), and at process exit whatever happens.
import type { Readable, Writable } from "node:stream";
import { ESCAPE_HELP, EscapeFilter } from "./escape.ts";

export interface TerminalInput extends Readable {
  readonly isTTY?: boolean;
  readonly isRaw?: boolean;
  setRawMode?(raw: boolean): unknown;
  unref?(): unknown;
}

export interface TerminalOptions {
  readonly input: TerminalInput;
  readonly output: Writable;
  /** For what is not the guest's, such as the help of Ctrl-A h. */
  readonly messages: Writable;
  /** What is typed for the guest. */
  readonly onInput: (bytes: Uint8Array) => void;
  /** Called for Ctrl-A x, and when nobody reads the output any more. */
  readonly onQuit: () => void;
  /** Called for Ctrl-A a. */
  readonly onAttributes: () => void;
}

export class TerminalConsole {
  private readonly options: TerminalOptions;
  private readonly filter = new EscapeFilter();
  private readonly wasRaw: boolean;
  private closed = false;
  private readonly onData = (chunk: Buffer): void => this.take(chunk);
  private readonly onOutputError = (): void => this.options.onQuit();
  private readonly restore = (): void => this.setRaw(this.wasRaw);

  constructor(options: TerminalOptions) {
    this.options = options;
    this.wasRaw = options.input.isRaw ?? false;
    options.output.on("error", this.onOutputError);
    options.input.on("error", this.ignore);
    options.input.on("data", this.onData);
    process.on("exit", this.restore);
    this.setRaw(true);
  }

  write(bytes: Uint8Array): void {
    if (!this.options.output.destroyed) this.options.output.write(bytes);
  }

  /** Writes text that is not the guest's: on lines of its own, which a raw terminal does not begin by itself. */
  tell(text: string): void {
    const raw = this.options.input.isTTY === true && !this.closed;
    this.options.messages.write(raw ? `\n${text}`.replaceAll("\n", "\r\n") : text);
  }

  /** Puts the terminal back and lets go of the input. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    const { input, output } = this.options;
    this.restore();
    process.off("exit", this.restore);
    input.off("data", this.onData);
    input.pause();
    // Nobody waits for the other end of a pipe to close it.
    input.unref?.();
    output.off("error", this.onOutputError);
    output.on("error", this.ignore);
  }

  private readonly ignore = (): void => {};

  private setRaw(raw: boolean): void {
    if (this.options.input.isTTY === true) this.options.input.setRawMode?.(raw);
  }

  private take(chunk: Buffer): void {
    if (this.options.input.isTTY !== true) {
      this.options.onInput(new Uint8Array(chunk));
      return;
    }
    const { guest, actions } = this.filter.feed(chunk);
    if (guest.length > 0) this.options.onInput(guest);
    for (const action of actions) {
      if (action === "quit") this.options.onQuit();
      else if (action === "attributes") this.options.onAttributes();
      else this.tell(`${ESCAPE_HELP.join("\n")}\n`);
    }
  }
}
