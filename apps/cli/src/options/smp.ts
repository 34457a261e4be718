// -smp for machine pc: one socket of N cores with one thread each, in any of QEMU's spellings. Numbers that are left out
// follow from the others, as in QEMU 6.2 and newer: CPUs become cores first.
import { usageError } from "../errors.ts";
import { Properties } from "./properties.ts";

/** What a CPU is part of, besides cores: there is one of each. */
const SINGLE = ["sockets", "dies", "clusters", "modules", "threads"] as const;
const HINT = "write -smp N: one socket of N cores with one thread each";

/** How many CPUs, default 1. Throws CliError USAGE_OPTION. */
export function parseSmp(text: string | undefined): number {
  if (text === undefined) return 1;
  const properties = new Properties("-smp", text, "cpus");
  const count = (key: string): number | undefined => {
    const value = properties.text(key);
    if (value === undefined || /^[1-9]\d{0,5}$/.test(value)) return value === undefined ? undefined : Number(value);
    throw usageError(`-smp ${key}=${value}: "${value}" is not a count`, "for example -smp 2");
  };
  const cpus = count("cpus");
  const cores = count("cores");
  const most = count("maxcpus");
  for (const key of SINGLE) {
    const value = count(key);
    if (value !== undefined && value !== 1) throw usageError(`-smp ${key}=${value}: machine pc has one of these`, HINT);
  }
  properties.finish();
  const total = cpus ?? most ?? cores ?? 1;
  if (most !== undefined && most !== total) {
    throw usageError(`-smp maxcpus=${most}: CPUs cannot be added to ${total} later`, `write -smp ${most}`);
  }
  if (cores !== undefined && cores !== total) {
    throw usageError(`-smp cores=${cores}: one socket of ${cores} cores is not ${total} CPUs`, HINT);
  }
  return total;
}
