// Plays one recorded case on a modelled process and reports every step whose outcome differs.
// Format of the steps: see the README beside the recordings. Descriptors and memory go by the names that steps gave.
import { errnoName, ioctlNumbers, MAP_PRIVATE, MAP_SHARED, type Mapping, O_RDWR, type StructType } from "@minivmm/host";
import { type ModelProcess, OpenFile } from "@minivmm/host/model";
import * as uapi from "../../src/index.ts";
import { MEMORY_STEPS, type MemoryUser, mapAnonymous } from "./memory.ts";
import { DEVICES, type Rig } from "./rig.ts";

type Json = Record<string, unknown>;
export interface Step {
  readonly step: string;
  readonly do: Json;
  readonly ret: number | "fd";
  readonly errno?: number;
  readonly signal?: number;
  readonly out?: Json;
}
// biome-ignore lint/suspicious/noExplicitAny: structs of any shape are looked up by name
type AnyStruct = StructType<any>;
export interface Command {
  request: number;
  struct?: AnyStruct;
  /** What follows the struct in the reply. */
  tail?(bytes: Uint8Array, fields: Json, ret: number): Json;
}

/** Request numbers and structs by C name; other packages add theirs. */
export const COMMANDS: Record<string, Command> = {};
const numbers = uapi.vfioIoctls("x86_64");
for (const [name, request] of Object.entries(numbers)) COMMANDS[name] = { request };
const STRUCTS: Record<string, unknown> = {
  VFIO_GROUP_GET_STATUS: uapi.vfio_group_status,
  VFIO_DEVICE_GET_INFO: uapi.vfio_device_info,
  VFIO_DEVICE_GET_REGION_INFO: uapi.vfio_region_info,
  VFIO_DEVICE_GET_IRQ_INFO: uapi.vfio_irq_info,
  VFIO_DEVICE_SET_IRQS: uapi.vfio_irq_set,
  VFIO_DEVICE_IOEVENTFD: uapi.vfio_device_ioeventfd,
  VFIO_DEVICE_FEATURE: uapi.vfio_device_feature,
};
for (const [name, struct] of Object.entries(STRUCTS)) COMMANDS[name]!.struct = struct as AnyStruct;
COMMANDS.VFIO_UNKNOWN = { request: ioctlNumbers("x86_64").IO(0x3b, 199) };
COMMANDS.FOREIGN = { request: ioctlNumbers("x86_64").IO(0x51, 1) };

const MAX_BUFFER = 0x10000;
const REGION = 2 ** 40;

export class Player implements MemoryUser {
  readonly rig: Rig;
  readonly process: ModelProcess;
  readonly fds = new Map<string, number>();
  readonly memory = new Map<string, { mapping: Mapping; open: boolean }>();

  readonly #groups = new Map<string, number>();

  /** A forked child in the middle of its steps. */
  #child: Player | null = null;

  constructor(rig: Rig, process?: ModelProcess) {
    this.rig = rig;
    this.process = process ?? rig.kernel.spawn({ capabilities: ["SYS_ADMIN", "SYS_RAWIO", "IPC_LOCK"], nofile: 1024 });
  }

  /** "" when the step came out as recorded, else what differs. */
  play(step: Step): string {
    // The steps of a child follow the step that made it; the next step of the parent is after its end.
    if (this.#child && step.step.includes(".")) return this.#child.play({ ...step, step: "" });
    this.#child?.process.exit();
    this.#child = null;
    if (step.do.op === "background") {
      this.#child = new Player(this.rig);
      return "";
    }
    if (step.do.op === "child") {
      this.#child = new Player(this.rig, this.process.fork());
      for (const [name, fd] of this.fds) this.#child.fds.set(name, fd);
      for (const [name, memory] of this.memory) this.#child.memory.set(name, { ...memory });
      return "";
    }
    // A buffer of the caller that cannot be touched has no counterpart in Host.pread and pwrite.
    if (step.do.ptr === "bad" && step.do.op !== "ioctl") return "";
    const { ret, signal, out } = this.#do(step.do);
    const name = step.do.as;
    if (
      typeof name === "string" &&
      ret !== undefined &&
      step.do.op !== "mmap" &&
      COMMANDS[String(step.do.cmd)]?.struct === undefined
    ) {
      this.fds.set(name, ret < 0 ? -1 : ret);
    }
    const want =
      step.ret === "fd"
        ? "fd"
        : step.signal
          ? `signal ${step.signal}`
          : step.ret < 0
            ? errnoName(step.errno ?? 0)
            : String(step.ret);
    const got = signal ? `signal ${signal}` : ret < 0 ? errnoName(-ret) : step.ret === "fd" ? "fd" : String(ret);
    if (want !== got) return `returned ${got}, recorded ${want}`;
    for (const [key, value] of Object.entries(step.out ?? {})) {
      if (key in out && JSON.stringify(normal(out[key])) !== JSON.stringify(normal(value))) {
        return `${key} is ${JSON.stringify(normal(out[key]))}, recorded ${JSON.stringify(value)}`;
      }
    }
    return "";
  }

  #do(step: Json): { ret: number; signal?: number; out: Json } {
    const { process } = this;
    const fd = this.fd(step.fd);
    switch (step.op) {
      case "open": {
        const mode = { r: 0, w: 1, rw: O_RDWR }[(step.mode as string) ?? "rw"] ?? O_RDWR;
        return plain(process.open(this.#text(step.path), mode));
      }
      case "close":
        return plain(process.close(fd));
      case "dup":
        return plain(process.dup(fd));
      case "eventfd":
        return plain(process.eventfd(Number(step.init ?? 0), 0o4000));
      case "pipe":
      case "memfd":
        return plain(process.install(new OpenFile({ kind: String(step.op) }, O_RDWR)));
      case "evread": {
        const bytes = new Uint8Array(8);
        let ret = process.read(fd, bytes);
        if (ret < 0 && Number(step.ms) > 0) {
          this.rig.clock.advance(Number(step.ms));
          ret = process.read(fd, bytes);
        }
        return { ret, out: ret === 8 ? { count: new DataView(bytes.buffer).getBigUint64(0, true) } : {} };
      }
      case "evwrite":
        return plain(process.write(fd, new Uint8Array(new BigUint64Array([big(step.count)]).buffer)));
      case "join":
        return plain(0);
      case "wait":
        this.rig.clock.advance(Number(step.ms));
        return plain(0);
      case "pread": {
        const into = new Uint8Array(Number(step.size));
        const ret = process.pread(fd, into, this.position(step));
        return { ret, out: ret > 0 ? { bytes: hex(into.subarray(0, ret)) } : {} };
      }
      case "pwrite":
        return plain(process.pwrite(fd, unhex(String(step.bytes)), this.position(step)));
      case "bind":
        return plain(this.#bind(step));
      case "readtext": {
        const content = process.readFile(this.#text(step.path));
        if (typeof content === "number") return plain(content);
        return { ret: 0, out: { text: new TextDecoder().decode(content).trimEnd() } };
      }
      case "readlink": {
        const target = process.readlink(this.#text(step.path));
        return typeof target === "number" ? plain(target) : { ret: 0, out: { name: target.split("/").at(-1) } };
      }
      case "writetext": {
        const ret = process.writeFile(this.#text(step.path), this.#text(step.text));
        return plain(Math.min(ret, 0));
      }
      case "pcicfg": {
        const fn = this.rig.topology.get(this.#device(step.dev));
        const width = Number(step.width) as 1 | 2 | 4;
        return { ret: width, out: { value: fn.readConfig(Number(step.off), width) } };
      }
      case "mmap": {
        if (!("fd" in step)) return mapAnonymous(this, step);
        const flags = step.private ? MAP_PRIVATE : MAP_SHARED;
        const mapping = process.mmap({
          length: Number(step.size),
          prot: 3,
          flags,
          fd,
          offset: this.position(step),
        });
        if (typeof mapping === "number") return plain(mapping);
        this.memory.set(String(step.as), { mapping, open: true });
        return plain(0);
      }
      case "munmap": {
        const memory = this.memory.get(String(step.mem).replace("&", ""));
        if (memory) memory.open = false;
        return plain(memory?.mapping.close() ?? 0);
      }
      case "peek":
      case "poke":
        return this.#touch(step);
      case "ioctl":
        return this.#ioctl(fd, step);
      default: {
        const memoryStep = MEMORY_STEPS[String(step.op)];
        if (!memoryStep) throw new Error(`no step "${step.op}"`);
        return memoryStep(this, step);
      }
    }
  }

  #ioctl(fd: number, step: Json): { ret: number; out: Json } {
    const command = COMMANDS[String(step.cmd)];
    if (!command) throw new Error(`no command ${step.cmd}`);
    const { request, struct } = command;
    if ("val" in step) return plain(this.process.ioctl(fd, request, big(step.val)));
    if ("ptr" in step) return plain(this.process.ioctl(fd, request, step.ptr === "null" ? 0n : 16n));
    if ("fdp" in step) return plain(this.process.ioctl(fd, request, int32(this.fd(step.fdp))));
    if ("str" in step) {
      const text = `${this.#text(step.str)}${step.suffix ?? ""}\0`;
      return plain(
        this.process.ioctl(
          fd,
          request,
          Uint8Array.from(text, (c) => c.charCodeAt(0)),
        ),
      );
    }
    if (!("in" in step)) return plain(this.process.ioctl(fd, request));
    if (!struct) throw new Error(`no struct for ${step.cmd}`);
    const tail = this.#tail(step);
    const argsz = Math.min(Number((step.in as Json).argsz ?? 0), MAX_BUFFER);
    const full = new Uint8Array(Math.max(struct.size + tail.length, argsz));
    struct.encode(this.#fields(struct, step.in as Json), full);
    full.set(tail, struct.size);
    const room = "room" in step ? Number(step.room) : full.length;
    const buffer = full.slice(0, room);
    const ret = this.process.ioctl(fd, request, buffer);
    const padded = new Uint8Array(Math.max(room, struct.size));
    padded.set(buffer);
    const out: Json = {};
    for (const [key, value] of Object.entries(struct.decode(padded))) {
      if ((struct.offsets[key] ?? 0) < room) out[key] = value;
    }
    if (ret === 0 && "fd" in out && typeof step.as === "string") this.fds.set(step.as, Number(out.fd));
    delete out.fd;
    delete out.addr;
    delete out.resamplefd;
    if (room < full.length)
      for (const key of Object.keys(out)) if ((struct.offsets[key] ?? 0) + 4 > room) delete out[key];
    Object.assign(out, command.tail?.(buffer, out, ret) ?? {});
    return { ret, out };
  }

  #fields(struct: AnyStruct, given: Json): Record<string, unknown> {
    const zero = struct.decode(new Uint8Array(struct.size));
    const fields: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(given)) {
      const wide = typeof zero[key] === "bigint";
      if (value !== null && typeof value === "object") {
        const inner = value as Json;
        const address =
          "fdp" in inner ? this.process.addressOf(int32(this.fd(inner.fdp))) : inner.ptr === "null" ? 0n : 16n;
        fields[key] = wide ? address : Number(address);
      } else if (typeof value === "string" && value.startsWith("$")) {
        fields[key] = this.fd(value);
      } else if (typeof value === "string" && value.startsWith("&")) {
        fields[key] = this.address(value);
      } else {
        fields[key] = wide ? big(value) : Number(value);
      }
    }
    return fields;
  }

  #tail(step: Json): Uint8Array {
    if ("fds" in step) return new Uint8Array(new Int32Array((step.fds as unknown[]).map((fd) => this.fd(fd))).buffer);
    if ("bools" in step) return Uint8Array.from(step.bools as number[]);
    return "bytes" in step ? unhex(String(step.bytes)) : new Uint8Array(0);
  }

  #touch(step: Json): { ret: number; signal?: number; out: Json } {
    const [name, offset = "0"] = String(step.at).slice(1).split("+");
    const memory = this.memory.get(name as string);
    const width = Number(step.width) as 1 | 2 | 4;
    if (!memory?.open) return { ret: -1, signal: 11, out: {} };
    try {
      if (step.op === "peek") {
        const value = this.#load(memory.mapping, Number(offset), Number(step.width));
        return { ret: 0, out: { value } };
      }
      memory.mapping.store(Number(offset), width, Number(step.value));
      return plain(0);
    } catch (error) {
      if (error instanceof uapi.VfioError) return { ret: -1, signal: 7, out: {} };
      throw error;
    }
  }

  #load(mapping: Mapping, offset: number, width: number): bigint {
    if (width < 8) return BigInt(mapping.load(offset, width as 1 | 2 | 4));
    return BigInt(mapping.load(offset, 4)) | (BigInt(mapping.load(offset + 4, 4)) << 32n);
  }

  #bind(step: Json): number {
    const bdf = this.#device(step.dev);
    if (this.rig.topology.get(bdf).driver !== null) this.rig.core.unbind(bdf);
    this.rig.topology.get(bdf).driverOverride = null;
    return step.driver === "none" ? 0 : this.rig.core.bind(bdf, String(step.driver));
  }

  address(text: string): bigint {
    const [name, offset = "0"] = text.slice(1).split("+");
    const memory = this.memory.get(name as string);
    return memory ? memory.mapping.address + BigInt(offset) : 0n;
  }

  position(step: Json): number {
    return "pos" in step ? Number(big(step.pos)) : Number(step.region ?? 0) * REGION + Number(step.off ?? 0);
  }

  #device(name: unknown): string {
    return DEVICES[String(name)] ?? String(name);
  }

  fd(name: unknown): number {
    if (typeof name === "number") return name;
    const key = String(name ?? "").replace(/^\$/, "");
    return this.fds.get(key) ?? -1;
  }

  /** The number of a function's group; of one that is gone the number it had. */
  #group(bdf: string): number | undefined {
    const group = this.rig.topology.find(bdf)?.group?.id ?? this.#groups.get(bdf);
    if (group !== undefined) this.#groups.set(bdf, group);
    return group;
  }

  #text(value: unknown): string {
    return String(value)
      .replace(/@group:(\w+)/g, (_, dev) => `/dev/vfio/${this.#group(this.#device(dev))}`)
      .replace(/@bdf:(\w+)/g, (_, dev) => this.#device(dev))
      .replace(/@sys:(\w+)/g, (_, dev) => `/sys/bus/pci/devices/${this.#device(dev)}`);
  }
}

const plain = (ret: number) => ({ ret, out: {} });
const int32 = (value: number) => new Uint8Array(new Int32Array([value]).buffer);
const big = (value: unknown) => BigInt(typeof value === "string" || typeof value === "number" ? value : 0);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const unhex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

function normal(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") return String(value);
  if (Array.isArray(value)) return value.map(normal);
  if (value !== null && typeof value === "object") {
    // A recording names functions for its readers.
    const { name: _name, ...rest } = value as Json;
    return rest;
  }
  return typeof value === "string" && /^0x[0-9a-f]+$/i.test(value) ? BigInt(value).toString() : value;
}
