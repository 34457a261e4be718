// The scene of a running case: its process, and what the steps so far have named. A child's scene starts with the same names.
// Invariants: a descriptor that could not be had is -1 from then on, memory that could not be had is address 0; what a
// later step does with them is what a program would do that does not check.

import type { Json } from "../lines.ts";
import type { Actor, RecordedDevice, RecordedMachine, Stage } from "../machine.ts";
import { big } from "./values.ts";

/** What a step's call returned (-errno when it failed), and the fields that a recording would show. */
export interface Outcome {
  readonly ret: number;
  readonly signal?: number;
  readonly out?: Json;
}

const REGION_SIZE = 2 ** 40;
const SYSFS = "/sys/bus/pci/devices";

export class Scene {
  readonly stage: Stage;
  readonly actor: Actor;
  readonly machine: RecordedMachine;
  readonly #fds: Map<string, number>;
  readonly #memory: Map<string, { address: bigint; length: number }>;

  constructor(stage: Stage, machine: RecordedMachine, actor: Actor = stage.actor, parent?: Scene) {
    this.stage = stage;
    this.actor = actor;
    this.machine = machine;
    this.#fds = new Map(parent ? parent.#fds : []);
    this.#memory = new Map(parent ? parent.#memory : []);
  }

  /** The scene of another process; a stranger has the names but not the descriptors behind them. */
  of(actor: Actor): Scene {
    return new Scene(this.stage, this.machine, actor, this);
  }

  /** A descriptor by name, "$NAME" or number. */
  fd(name: unknown): number {
    if (typeof name === "number") return name;
    return this.#fds.get(String(name ?? "").replace(/^\$/, "")) ?? -1;
  }

  nameFd(name: unknown, fd: number): void {
    if (typeof name === "string") this.#fds.set(name, Math.max(fd, -1));
  }

  nameMemory(name: unknown, address: bigint, length: number): void {
    this.#memory.set(String(name), { address, length });
  }

  /** Memory by "NAME" or "&NAME". */
  memory(name: unknown): { address: bigint; length: number } {
    return this.#memory.get(String(name).replace(/^&/, "")) ?? { address: 0n, length: 0 };
  }

  /** "&NAME" or "&NAME+offset". */
  address(text: unknown): bigint {
    const [name, offset = "0"] = String(text).split("+");
    const { address } = this.memory(name);
    return address === 0n ? 0n : address + BigInt(offset);
  }

  /** The file position that a step names. */
  position(step: Json): number {
    return "pos" in step ? Number(big(step.pos)) : Number(step.region ?? 0) * REGION_SIZE + Number(big(step.off));
  }

  /** Address of a device by its name in the recording, or of a virtual function that appeared since. */
  bdf(name: unknown): string {
    const text = String(name);
    const known = this.machine.devices.find((device) => device.name === text);
    if (known) return known.bdf;
    return this.#virtualFunction(text) ?? text;
  }

  /** Replaces @group:DEV, @bdf:DEV and @sys:DEV. */
  text(value: unknown): string {
    return String(value)
      .replace(/@group:(\w+)/g, (_, dev) => `/dev/vfio/${this.#group(dev)}`)
      .replace(/@bdf:(\w+)/g, (_, dev) => this.bdf(dev))
      .replace(/@sys:(\w+)/g, (_, dev) => `${SYSFS}/${this.bdf(dev)}`);
  }

  #group(name: string): string {
    const link = this.actor.host.readlink(`${SYSFS}/${this.bdf(name)}/iommu_group`);
    return typeof link === "string" ? (link.split("/").at(-1) ?? "") : String(this.#device(name)?.group ?? "none");
  }

  #device(name: string): RecordedDevice | undefined {
    return this.machine.devices.find((device) => device.name === name);
  }

  /** "vf0" is the first virtual function of whatever device has one. */
  #virtualFunction(name: string): string | undefined {
    const index = /^vf(\d+)$/.exec(name)?.[1];
    if (index === undefined) return undefined;
    for (const { bdf } of this.machine.devices) {
      const link = this.actor.host.readlink(`${SYSFS}/${bdf}/virtfn${index}`);
      if (typeof link === "string") return link.split("/").at(-1);
    }
    return this.#expectedVirtualFunction(Number(index));
  }

  /** Where it would be: behind the device whose capability has virtual functions, at offset 1 and stride 1. */
  #expectedVirtualFunction(index: number): string | undefined {
    const pf = this.machine.devices.find(({ bdf }) => this.actor.host.exists(`${SYSFS}/${bdf}/sriov_totalvfs`));
    if (!pf) return undefined;
    const read = (file: string): number =>
      Number(new TextDecoder().decode(this.#file(`${SYSFS}/${pf.bdf}/${file}`)).trim() || "1");
    const [prefix = "", fn = "0"] = pf.bdf.split(".");
    const place = Number.parseInt(fn, 16) + read("sriov_offset") + index * read("sriov_stride");
    return `${prefix}.${place.toString(16)}`;
  }

  #file(path: string): Uint8Array {
    const content = this.actor.host.readFile(path);
    return typeof content === "number" ? new Uint8Array(0) : content;
  }
}
