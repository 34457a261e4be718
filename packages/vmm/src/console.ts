// Between a guest's terminal and the user's: output is gathered into lines (a kernel prints a character a call) and
// handed over when a line ends, when 1 KiB has gathered, or when the VM pauses; input waits in a bounded queue.
// Invariants: order is kept; input beyond the queue's size is dropped and counted, as a serial line's overrun is.

/** What a user gives: `write` gets bytes it may keep; `onInput` is called once with a function that takes input. */
export interface ConsoleBackend {
  write(bytes: Uint8Array): void;
  onInput?(deliver: (bytes: Uint8Array) => void): void;
}

const OUTPUT_MAX = 1024;
const INPUT_MAX = 4096;
const NEWLINE = 10;

export class ConsolePort {
  /** Called when input arrives. */
  onInputReady: () => void = () => {};
  /** Called when the guest writes its first byte. */
  onFirstOutput: () => void = () => {};
  /** Called when output begins to gather; whoever runs the guest flushes it before long. */
  onGathering: () => void = () => {};
  outputBytes = 0;
  inputBytes = 0;
  inputDropped = 0;
  private readonly backend: ConsoleBackend;
  private readonly gathered = new Uint8Array(OUTPUT_MAX);
  private gatheredLength = 0;
  private readonly queue = new Uint8Array(INPUT_MAX);
  private queueHead = 0;
  private queueLength = 0;

  constructor(backend: ConsoleBackend) {
    this.backend = backend;
    backend.onInput?.((bytes) => this.deliver(bytes));
  }

  put(bytes: Uint8Array, length: number): void {
    if (length > 0 && this.outputBytes === 0) this.onFirstOutput();
    this.outputBytes += length;
    for (let i = 0; i < length; i++) {
      const byte = bytes[i]!;
      if (this.gatheredLength === 0) this.onGathering();
      this.gathered[this.gatheredLength++] = byte;
      if (byte === NEWLINE || this.gatheredLength === OUTPUT_MAX) this.flush();
    }
  }

  /** Hands over what has gathered. */
  flush(): void {
    if (this.gatheredLength === 0) return;
    const bytes = this.gathered.slice(0, this.gatheredLength);
    this.gatheredLength = 0;
    this.backend.write(bytes);
  }

  /** Takes queued input. Returns how many bytes. */
  take(into: Uint8Array): number {
    const count = Math.min(into.length, this.queueLength);
    for (let i = 0; i < count; i++) into[i] = this.queue[(this.queueHead + i) % INPUT_MAX]!;
    this.queueHead = (this.queueHead + count) % INPUT_MAX;
    this.queueLength -= count;
    return count;
  }

  private deliver(bytes: Uint8Array): void {
    const count = Math.min(bytes.length, INPUT_MAX - this.queueLength);
    for (let i = 0; i < count; i++) this.queue[(this.queueHead + this.queueLength + i) % INPUT_MAX] = bytes[i]!;
    this.queueLength += count;
    this.inputBytes += count;
    this.inputDropped += bytes.length - count;
    if (count > 0) this.onInputReady();
  }
}
