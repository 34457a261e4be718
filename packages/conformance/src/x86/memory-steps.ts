// Steps on the memory of the process: mapping devices and anonymous memory, filling, dumping, touching, limits.

import {
  EFAULT,
  lockedBytes,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "@minivmm/host";
import type { Json } from "../lines.ts";
import type { Outcome, Scene } from "./scene.ts";
import { big, bytesOf, hexText } from "./values.ts";

const PROT: Readonly<Record<string, number>> = { r: PROT_READ, w: PROT_WRITE };
/** Bytes: every x86 recording counts in small pages. */
const PAGE_SIZE = 4096;

export const MEMORY_STEPS: Readonly<Record<string, (scene: Scene, step: Json) => Outcome>> = {
  mmap: (scene, step) => ("fd" in step ? mapFile(scene, step) : mapAnonymous(scene, step)),
  munmap: (scene, step) => {
    const { address, length } = scene.memory(step.mem);
    return { ret: scene.actor.munmap(address, length) };
  },
  mprotect: (scene, step) => {
    const { address, length } = scene.memory(step.mem);
    return { ret: scene.actor.mprotect(address, length, protOf(step)) };
  },
  peek: (scene, step) => {
    const touched = scene.actor.touch({ address: scene.address(step.at), width: Number(step.width) });
    return "signal" in touched ? { ret: -1, ...touched } : { ret: 0, out: { value: touched.value } };
  },
  poke: (scene, step) => {
    const touch = { address: scene.address(step.at), width: Number(step.width), store: big(step.value) };
    const touched = scene.actor.touch(touch);
    return "signal" in touched ? { ret: -1, ...touched } : { ret: 0 };
  },
  fill: (scene, step) => ({ ret: scene.actor.writeMemory(scene.address(step.at), bytesOf(step.bytes)) }),
  dump: (scene, step) => {
    const bytes = new Uint8Array(Number(step.size));
    const ret = scene.actor.readMemory(scene.address(step.at), bytes);
    return ret < 0 ? { ret } : { ret, out: { bytes: hexText(bytes) } };
  },
  vmlck: (scene) => ({ ret: 0, out: { pages: lockedPages(scene) } }),
  setrlimit: (scene, step) => {
    const which = step.which as "memlock" | "nofile";
    const limit = scene.actor.host.getrlimit(which);
    const soft = "cur" in step ? bound(step.cur) : limit.soft;
    const hard = "max" in step ? bound(step.max) : Math.max(limit.hard, soft);
    return { ret: scene.actor.host.setrlimit(which, { soft, hard }) };
  },
  dropcap: (scene, step) => ({ ret: scene.actor.drop(String(step.cap).toUpperCase()) }),
};

const bound = (value: unknown): number => (Number(value) < 0 ? Number.POSITIVE_INFINITY : Number(value));

function protOf(step: Json): number {
  return [...String(step.prot ?? "rw")].reduce((prot, letter) => prot | (PROT[letter] ?? 0), 0);
}

function mapFile(scene: Scene, step: Json): Outcome {
  const mapping = scene.actor.host.mmap({
    length: Number(step.size),
    prot: protOf(step),
    flags: step.private ? MAP_PRIVATE : MAP_SHARED,
    fd: scene.fd(step.fd),
    offset: scene.position(step),
  });
  scene.nameMemory(step.as, typeof mapping === "number" ? 0n : mapping.address, Number(step.size));
  return { ret: typeof mapping === "number" ? mapping : 0 };
}

/** More than is wanted is mapped without access, and the wanted part put on the aligned place in it. */
function mapAnonymous(scene: Scene, step: Json): Outcome {
  const { host } = scene.actor;
  const length = Number(step.size);
  const flags = MAP_ANONYMOUS | (step.shared ? MAP_SHARED : MAP_PRIVATE);
  const align = Number(step.align ?? host.pageSize);
  const spare = host.mmap({ length: length + align, prot: 0, flags });
  const address = typeof spare === "number" ? 0n : (spare.address + BigInt(align - 1)) & -BigInt(align);
  if (typeof spare !== "number") spare.close();
  const mapping = host.mmap({
    length,
    prot: protOf(step),
    flags: flags | (address ? MAP_FIXED : 0),
    ...(address ? { address } : {}),
  });
  if (typeof mapping === "number") {
    scene.nameMemory(step.as, 0n, 0);
    return { ret: mapping };
  }
  scene.nameMemory(step.as, mapping.address, length);
  if (step.nohuge) scene.actor.smallPages(mapping.address, length);
  if (step.populate) for (let at = 0; at < length; at += host.pageSize) mapping.store(at, 1, 1);
  return { ret: 0 };
}

function lockedPages(scene: Scene): number {
  const bytes = lockedBytes(scene.actor.host.readFile("/proc/self/status"));
  return bytes === null ? -EFAULT : bytes / PAGE_SIZE;
}
