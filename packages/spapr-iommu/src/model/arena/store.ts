// Where an arena's words lie: a buffer of its own that grows by being copied, a WebAssembly memory (which grows in
// place, and which compiled code sees), or a fixed part of somebody's buffer.
// Invariant: growing keeps every word's index; views taken before may be stale, so nobody keeps one.
import { growableMemory } from "@minivmm/ppc64/wasm";
import { SpaprError } from "../../error.ts";

export interface ArenaStore {
  /** The words now. */
  readonly words: Uint32Array;
  /** Makes at least `words` words available; false when there is no more. */
  grow(words: number): boolean;
  /** Where compiled code finds the words, when they lie in a WebAssembly memory. */
  readonly place?: WasmPlace;
}

/** A WebAssembly memory, and the first byte in it. */
export interface WasmPlace {
  readonly memory: WasmMemory;
  readonly base: number;
}

const PAGE_WORDS = 65536 / 4;
const DEFAULT_LIMIT = 2 ** 30;

/** A WebAssembly memory of its own for a store, up to `limit` bytes (default 1 GiB). */
export function wasmStore(limit = DEFAULT_LIMIT): ArenaStore {
  return memoryStore(growableMemory({ initial: 1, maximum: limit / 65536 }));
}

/** A store of its own, up to `limit` bytes (default 1 GiB). */
export function ownStore(limit = DEFAULT_LIMIT): ArenaStore {
  let words = new Uint32Array(PAGE_WORDS);
  return {
    get words() {
      return words;
    },
    grow(wanted) {
      if (wanted * 4 > limit) return false;
      const larger = new Uint32Array(Math.min(Math.max(wanted, words.length * 2), limit / 4));
      larger.set(words);
      words = larger;
      return true;
    },
  };
}

/** A WebAssembly memory from byte `base` on; grows with the memory, to the memory's maximum. */
export function memoryStore(memory: WasmMemory, base = 0): ArenaStore {
  checkBase(base);
  const view = (): Uint32Array =>
    new Uint32Array(memory.buffer, base, Math.floor((memory.buffer.byteLength - base) / 4));
  let words = view();
  return {
    place: { memory, base },
    get words() {
      return words;
    },
    grow(wanted) {
      if (wanted <= words.length) return true;
      try {
        memory.grow(Math.ceil((wanted - words.length) / PAGE_WORDS));
      } catch {
        return false;
      }
      words = view();
      return true;
    },
  };
}

/** A part of a buffer that is zero and belongs to the arena; it cannot grow. */
export function regionStore(buffer: ArrayBufferLike, base: number, bytes: number): ArenaStore {
  checkBase(base);
  const words = new Uint32Array(buffer, base, Math.floor(bytes / 4));
  return { words, grow: () => false };
}

/** What is needed of a WebAssembly.Memory. */
export interface WasmMemory {
  readonly buffer: ArrayBufferLike;
  grow(pages: number): number;
}

function checkBase(base: number): void {
  if (base >= 0 && base % 8 === 0) return;
  throw new SpaprError(`a TCE arena cannot begin at byte ${base}`, {
    code: "OPTION",
    details: { base },
    hint: "Its 64-bit numbers are aligned: begin at a multiple of 8.",
  });
}
