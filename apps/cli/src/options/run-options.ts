// The whole of `minivmm run`'s command line as one typed request: read once, checked, and never looked at again as text.
import { usageError } from "../errors.ts";
import { type DeviceRequest, parseDevices } from "./device.ts";
import type { Given } from "./given.ts";
import { type HostRequest, parseHost } from "./host.ts";
import { type MachineName, type MachineRequest, parseMachine } from "./machine.ts";
import { suggestion } from "./suggest.ts";

export interface RunRequest {
  readonly machine: MachineRequest;
  readonly host: HostRequest;
  readonly kernel: string;
  readonly initrd?: string;
  readonly append: string;
  readonly devices: readonly DeviceRequest[];
  readonly console: "stdio" | "none";
  /** Start again when the guest restarts itself. */
  readonly reboot: boolean;
  readonly name?: string;
  /** File for the summary, "-" for standard error. */
  readonly summary?: string;
}

/** What a machine's kernel is, and where one comes from: the rest of a hint. */
export const KERNELS: Readonly<Record<MachineName, string>> = {
  pseries: "an uncompressed kernel (vmlinux); `minivmm image pull debian-ppc64el` fetches one",
  pc: "a bzImage, such as /boot/vmlinuz-* of a distribution, or an x86-64 vmlinux",
};

/** Options whose only meaning is that something is absent, with the values that say so. */
const ABSENT: Readonly<Record<string, readonly string[]>> = {
  display: ["none"],
  monitor: ["none"],
  vga: ["none"],
  net: ["none"],
  nic: ["none"],
};
const SERIAL: Readonly<Record<string, "stdio" | "none">> = {
  stdio: "stdio",
  "mon:stdio": "stdio",
  none: "none",
  null: "none",
};

/** Throws CliError USAGE_OPTION for everything that can be seen to be wrong without looking at the machine. */
export function parseRun(given: Given): RunRequest {
  for (const [option, allowed] of Object.entries(ABSENT)) {
    const value = given.last(option);
    if (value !== undefined && !allowed.includes(value)) {
      throw usageError(`-${option} ${value}: there is no such thing here`, `write -${option} none or leave it out`);
    }
  }
  const machine = parseMachine(given);
  const host = parseHost(given.last("host"));
  const devices = parseDevices(given, machine.machine);
  const kernel = given.last("kernel");
  if (kernel === undefined || kernel === "") {
    throw usageError("no kernel is given", `add -kernel FILE, ${KERNELS[machine.machine]}`);
  }
  const optional = { initrd: given.last("initrd"), name: given.last("name"), summary: given.last("summary") };
  return {
    machine,
    host,
    kernel,
    append: given.last("append") ?? "",
    devices,
    console: parseSerial(given.last("serial")),
    reboot: !given.flag("no-reboot"),
    ...(Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)) as Partial<
      typeof optional & Record<keyof typeof optional, string>
    >),
  };
}

function parseSerial(text: string | undefined): "stdio" | "none" {
  if (text === undefined) return "stdio";
  const found = Object.hasOwn(SERIAL, text) ? SERIAL[text] : undefined;
  if (found !== undefined) return found;
  const known = Object.keys(SERIAL);
  throw usageError(`-serial ${text} is not possible`, suggestion(text, known, `one of ${known.join(", ")}`));
}
