// An instruction as GNU as reads it (Intel syntax) and as this assembler is called.
import type { Assembler } from "../../src/index.ts";

export type Sample = readonly [source: string, emit: (a: Assembler) => void];
