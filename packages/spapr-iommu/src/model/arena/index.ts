// Memory that TCE tables share with compiled code.
export { TceArena } from "./arena.ts";
export * from "./layout.ts";
export {
  type ArenaStore,
  memoryStore,
  ownStore,
  regionStore,
  type WasmMemory,
  type WasmPlace,
  wasmStore,
} from "./store.ts";
export { readNumber, writeNumber } from "./words.ts";
