// Guest memory that lies outside of the CPU's WebAssembly memory, as copies of 4 KiB pages: filled when a page is first
// touched, written back by sync(). Everything the engine does (loads, atomics, page tables, code) works on such a page.
// Invariants: between sync() and the next access no copy exists, so nobody outside sees stale bytes and nothing written
// outside is missed; whoever keeps a frame's address (a TLB, a reservation) forgets it in the same moment.

import type { CpuState } from "./state.ts";

/** Who has the memory. Addresses are multiples of 4096. */
export interface PageSource {
  /** Fills `into` with the page at a guest real address; false where no memory is. */
  readPage(real: number, into: Uint8Array): boolean;
  writePage(real: number, from: Uint8Array): void;
  /** Byte offset of the page in the CPU's own memory when it lies there, 0 elsewhere, -1 where no memory is. */
  offsetOf(real: number): number;
}

interface Frame {
  readonly real: number;
  readonly at: number;
  dirty: boolean;
}

const PAGE = 4096;
/** One instruction touches at most two data pages and two page-table walks of five entries each. */
const PER_INSTRUCTION = 12;

export class PageFrames {
  /** Pages copied in and written back. */
  filled = 0;
  written = 0;
  private readonly frames = new Map<number, Frame>();
  private readonly state: CpuState;
  private readonly source: PageSource;
  private readonly start: number;
  private readonly count: number;
  private readonly forget: () => void;

  constructor(options: { state: CpuState; source: PageSource; start: number; count: number; forget: () => void }) {
    this.state = options.state;
    this.source = options.source;
    this.start = options.start;
    this.count = options.count;
    this.forget = options.forget;
  }

  /** Byte address of a guest real address, 0 where no memory is. `write`: the page will be written. */
  hostOf(real: number, write: boolean): number {
    const offset = real % PAGE;
    const page = real - offset;
    const own = this.source.offsetOf(page);
    if (own !== 0) return own > 0 ? own + offset : 0;
    const frame = this.frames.get(page) ?? this.fill(page);
    if (frame === undefined) return 0;
    frame.dirty ||= write;
    return frame.at + offset;
  }

  /** Makes room for whatever the next instruction touches. To be called before its first access. */
  prepare(): void {
    if (this.frames.size + PER_INSTRUCTION > this.count) this.sync();
  }

  /** Writes back what was written and drops all copies. */
  sync(): void {
    if (this.frames.size === 0) return;
    for (const { real, at, dirty } of this.frames.values()) {
      if (!dirty) continue;
      this.written++;
      this.source.writePage(real, this.state.u8.subarray(at, at + PAGE));
    }
    this.frames.clear();
    this.forget();
  }

  private fill(real: number): Frame | undefined {
    if (this.frames.size >= this.count) return undefined;
    const at = this.start + this.frames.size * PAGE;
    if (!this.source.readPage(real, this.state.u8.subarray(at, at + PAGE))) return undefined;
    this.filled++;
    const frame: Frame = { real, at, dirty: false };
    this.frames.set(real, frame);
    return frame;
  }
}
