// -machine, -cpu, -smp, -m and -global: what the machine is. Everything QEMU users write for a machine is understood; what
// it does not have is refused with the reason, never ignored. What each machine takes is in a file of its own.
import { usageError } from "../errors.ts";
import type { Given } from "./given.ts";
import { type PcRequest, readPc } from "./pc-machine.ts";
import { Properties } from "./properties.ts";
import { type PseriesRequest, readPseries } from "./pseries-machine.ts";
import { suggestion } from "./suggest.ts";

export type MachineRequest = PseriesRequest | PcRequest;
export type MachineName = MachineRequest["machine"];

/** QEMU has two PCs. This one has q35's bus, PCI Express, and is either by name. */
const MACHINES: Readonly<Record<string, MachineName>> = { pseries: "pseries", pc: "pc", q35: "pc" };
const DEFAULT_MEMORY = 512 * 2 ** 20;

/** A machine that can run. Throws CliError USAGE_OPTION. */
export function parseMachine(given: Given): MachineRequest {
  const request = readMachine(given);
  if (request.machine === "pc" && request.accel === "soft") {
    throw usageError(
      "machine pc runs in KVM only: there is no x86 CPU in software here",
      "leave -accel tcg out; machine pseries has a CPU in software",
    );
  }
  return request;
}

/** A machine in the words of `run`, whether it can run or only be described. Throws CliError USAGE_OPTION. */
export function readMachine(given: Given): MachineRequest {
  const properties = new Properties("-machine", given.last("machine") ?? "pseries", "type");
  const machine = machineOf(properties.required("type", "pseries"));
  const memoryBytes = parseMemory(given.last("memory"));
  return machine === "pc" ? readPc(given, properties, memoryBytes) : readPseries(given, properties, memoryBytes);
}

function machineOf(type: string): MachineName {
  const found = Object.hasOwn(MACHINES, type) ? MACHINES[type] : undefined;
  if (found !== undefined) return found;
  const known = Object.keys(MACHINES);
  const versioned = /^(pc-q35|pc-i440fx|pc|pseries)-\d/.exec(type)?.[1];
  const hint =
    versioned === undefined
      ? suggestion(type, known, `the machines are: ${known.join(", ")}`, (name) => `-M ${name}`)
      : `machines have no versions here: write -M ${versioned === "pseries" ? "pseries" : "pc"}`;
  throw usageError(`unknown machine "${type}"`, hint, { machine: type });
}

/** -m: bytes. Throws CliError USAGE_OPTION. */
export function parseMemory(text: string | undefined): number {
  if (text === undefined) return DEFAULT_MEMORY;
  const properties = new Properties("-m", text, "size");
  const bytes = properties.size("size", "M");
  properties.finish();
  if (bytes === undefined) throw usageError("-m: size is missing", "write -m 512 or -m size=512M");
  return bytes;
}
