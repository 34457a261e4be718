// The recorded steps that deal with a process's memory and limits: mapping anonymous memory, filling and dumping it,
// what is locked, and waiting for a device register.
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, type Mapping } from "@minivmm/host";
import type { ModelProcess } from "@minivmm/host/model";
import type { Rig } from "./rig.ts";

type Json = Record<string, unknown>;
type Outcome = { ret: number; out: Json };

export interface MemoryUser {
  readonly rig: Rig;
  readonly process: ModelProcess;
  readonly memory: Map<string, { mapping: Mapping; open: boolean }>;
  /** "&NAME" or "&NAME+offset" as an address; 0 for memory that could not be had. */
  address(text: string): bigint;
  /** The file position that a step names. */
  position(step: Json): number;
  fd(name: unknown): number;
}

const PROT: Record<string, number> = { r: 1, w: 2 };

export const MEMORY_STEPS: Record<string, (user: MemoryUser, step: Json) => Outcome> = {
  fill(user, step) {
    const bytes = new Uint8Array(Buffer.from(String(step.bytes), "hex"));
    return plain(user.process.mm.write(user.address(String(step.at)), bytes) ? 0 : -14);
  },
  dump(user, step) {
    const bytes = new Uint8Array(Number(step.size));
    const found = user.process.mm.read(user.address(String(step.at)), bytes);
    return { ret: found ? 0 : -14, out: { bytes: Buffer.from(bytes).toString("hex") } };
  },
  vmlck: ({ process }) => ({ ret: 0, out: { pages: process.mm.lockedPages } }),
  setrlimit({ process }, step) {
    const which = step.which as "memlock" | "nofile";
    const soft = Number(step.cur) < 0 ? Number.POSITIVE_INFINITY : Number(step.cur);
    return plain(process.setrlimit(which, { soft, hard: process.getrlimit(which).hard }));
  },
  dropcap({ process }, step) {
    process.drop(String(step.cap).toUpperCase());
    return plain(0);
  },
  mprotect(user, step) {
    const memory = user.memory.get(String(step.mem).replace("&", ""));
    const { mapping } = memory ?? {};
    return plain(mapping ? user.process.mm.mprotect(Number(mapping.address), mapping.length, protOf(step)) : -22);
  },
  until(user, step) {
    const word = new Uint8Array(4);
    for (let waited = 0; waited <= Number(step.ms); waited += 10) {
      const ret = user.process.pread(user.fd(step.fd), word, user.position(step));
      const value = new DataView(word.buffer).getUint32(0, true);
      if (ret !== 4) return plain(ret);
      if ((value & Number(step.mask)) >>> 0 === Number(step.want)) return { ret, out: { reached: 1 } };
      user.rig.clock.advance(10);
    }
    return { ret: 4, out: { reached: 0 } };
  },
};

/** mmap without a descriptor. `align` is honoured, `populate` writes to every page. */
export function mapAnonymous({ process, memory }: MemoryUser, step: Json): Outcome {
  const length = Number(step.size);
  const flags = MAP_ANONYMOUS | (step.shared ? MAP_SHARED : MAP_PRIVATE);
  const align = Number(step.align ?? process.pageSize);
  const spare = process.mmap({ length: length + align, prot: 0, flags });
  if (typeof spare === "number") return plain(spare);
  const address = (spare.address + BigInt(align - 1)) & -BigInt(align);
  spare.close();
  const mapping = process.mmap({ length, prot: protOf(step), flags: flags | MAP_FIXED, address });
  if (typeof mapping === "number") return plain(mapping);
  if (step.populate) for (let at = 0; at < length; at += process.pageSize) mapping.store(at, 1, 1);
  memory.set(String(step.as), { mapping, open: true });
  return plain(0);
}

function protOf(step: Json): number {
  return [...String(step.prot ?? "rw")].reduce((prot, letter) => prot | (PROT[letter] ?? 0), 0);
}

const plain = (ret: number): Outcome => ({ ret, out: {} });
