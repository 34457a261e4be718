// The ioctl step: how its fields become the argument, and what is shown of the memory afterwards.
// The memory holds the struct, its tail and argsz bytes; with `room` it ends there and the next byte cannot be touched.
// Invariants: every field of the struct is shown, also after a failed call; fields that the memory had no room for, and
// pointers and descriptors, are not.

import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "@minivmm/host";
import { isObject, type Json } from "../lines.ts";
import { type AnyStruct, COMMANDS, type Command } from "./commands.ts";
import type { Outcome, Scene } from "./scene.ts";
import { big, bytesOf, cString, hexText, int32 } from "./values.ts";

/** An argsz that nobody has memory for is passed on as it is; so much memory stands behind it. */
const MAX_MEMORY = 0x1_0000;
/** An address where nothing is mapped. */
const BAD_POINTER = 16n;

export function ioctlStep(scene: Scene, step: Json): Outcome {
  const command = COMMANDS.get(String(step.cmd));
  if (!command) throw new Error(`the recording names an unknown ioctl, ${step.cmd}`);
  const { host } = scene.actor;
  const fd = scene.fd(step.fd);
  const call = (arg: number | bigint | Uint8Array): number => host.ioctl(fd, command.request, arg);
  if ("in" in step) return withStruct(scene, step, command, call);
  const ret = call(plainArgument(scene, step));
  scene.nameFd(step.as, ret);
  return { ret };
}

function plainArgument(scene: Scene, step: Json): number | bigint | Uint8Array {
  if ("val" in step) return big(step.val);
  if ("ptr" in step) return step.ptr === "null" ? 0n : BAD_POINTER;
  if ("fdp" in step) return int32(scene.fd(step.fdp));
  if ("str" in step) return cString(`${scene.text(step.str)}${scene.text(step.suffix ?? "")}`);
  return 0;
}

function withStruct(scene: Scene, step: Json, command: Command, call: (arg: bigint | Uint8Array) => number): Outcome {
  const given = step.in as Json;
  const type = structFor(command, given);
  if (!type) throw new Error(`the recording gives fields to ${step.cmd}, which takes none`);
  const tail = tailOf(scene, step);
  const argsz = Math.min(Number(given.argsz ?? 0), MAX_MEMORY);
  const full = new Uint8Array(Math.max(type.size + tail.length, argsz));
  type.encode(fieldsOf(scene, type, given), full);
  full.set(tail, type.size);
  const room = "room" in step ? Number(step.room) : full.length;
  const memory = room < full.length || "room" in step ? new BoundedMemory(scene, full.subarray(0, room)) : null;
  const ret = call(memory ? memory.address : full);
  const after = memory ? memory.close() : full;
  const padded = new Uint8Array(Math.max(full.length, type.size));
  padded.set(after);
  const fields = type.decode(padded) as Json;
  if (ret === 0 && "fd" in fields) scene.nameFd(step.as, Number(fields.fd));
  else if (typeof step.as === "string") scene.nameFd(step.as, -1);
  return { ret, out: { ...shown(command, type, fields, room), ...more(command, type, after, fields, ret) } };
}

/** The longer struct when a field that only it has is given. */
function structFor({ struct, extended }: Command, given: Json): AnyStruct | undefined {
  const beyond = extended && Object.keys(given).some((key) => !(struct && key in struct.offsets));
  return beyond ? extended : struct;
}

function shown({ hidden = [] }: Command, type: AnyStruct, fields: Json, room: number): Json {
  const starts = [...Object.values(type.offsets), type.size].sort((a, b) => a - b);
  const endOf = (start: number): number => starts.find((each) => each > start) ?? type.size;
  return Object.fromEntries(
    Object.entries(fields).filter(([key]) => !hidden.includes(key) && endOf(type.offsets[key] as number) <= room),
  );
}

function more(command: Command, type: AnyStruct, after: Uint8Array, fields: Json, ret: number): Json {
  const behind = after.subarray(type.size);
  const data = command.data && behind.length > 0 ? { data: hexText(behind) } : {};
  return { ...data, ...command.tail?.(after, fields, ret) };
}

function fieldsOf(scene: Scene, type: AnyStruct, given: Json): Record<string, unknown> {
  const zero = type.zero() as Record<string, unknown>;
  const fields: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given)) {
    const exact = fieldValue(scene, value);
    fields[key] = typeof zero[key] === "bigint" ? exact : Number(exact);
  }
  return fields;
}

function fieldValue(scene: Scene, value: unknown): bigint {
  if (isObject(value)) {
    if ("fdp" in value) return stored(scene, int32(scene.fd(value.fdp)));
    return value.ptr === "null" ? 0n : BAD_POINTER;
  }
  if (typeof value === "string" && value.startsWith("$")) return BigInt(scene.fd(value));
  if (typeof value === "string" && value.startsWith("&")) return scene.address(value);
  return big(value);
}

function tailOf(scene: Scene, step: Json): Uint8Array {
  if ("fds" in step) return new Uint8Array(new Int32Array((step.fds as unknown[]).map((fd) => scene.fd(fd))).buffer);
  if ("bools" in step) return Uint8Array.from(step.bools as number[]);
  return bytesOf(step.bytes);
}

/** Address of a copy of `bytes` in the process. It stays until the process ends, as a stack would. */
function stored({ actor }: Scene, bytes: Uint8Array): bigint {
  const { host } = actor;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const mapping = host.mmap({ length: host.pageSize, prot: PROT_READ | PROT_WRITE, flags });
  if (typeof mapping === "number") return 0n;
  actor.writeMemory(mapping.address, bytes);
  return mapping.address;
}

/** Memory whose end is the end of what may be touched: the last bytes of a page before one without access. */
class BoundedMemory {
  readonly address: bigint;
  readonly #scene: Scene;
  readonly #size: number;
  readonly #mappings: { close(): number }[];

  constructor(scene: Scene, bytes: Uint8Array) {
    const { host } = scene.actor;
    const pages = Math.ceil(Math.max(bytes.length, 1) / host.pageSize) * host.pageSize;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const usable = host.mmap({ length: pages + host.pageSize, prot: PROT_READ | PROT_WRITE, flags });
    if (typeof usable === "number") throw new Error(`no memory for an ioctl argument: ${usable}`);
    const end = usable.address + BigInt(pages);
    const guard = host.mmap({ length: host.pageSize, prot: 0, flags: flags | MAP_FIXED, address: end });
    this.#mappings = typeof guard === "number" ? [usable] : [guard, usable];
    this.#scene = scene;
    this.#size = bytes.length;
    this.address = end - BigInt(bytes.length);
    scene.actor.writeMemory(this.address, bytes);
  }

  /** The bytes as they are now; the memory is gone. */
  close(): Uint8Array {
    const bytes = new Uint8Array(this.#size);
    this.#scene.actor.readMemory(this.address, bytes);
    for (const mapping of this.#mappings) mapping.close();
    return bytes;
  }
}
