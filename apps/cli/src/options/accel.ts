// -accel, -machine accel= and -enable-kvm: who executes the guest. QEMU's names; all that are given must agree.
import { usageError } from "../errors.ts";
import type { Given } from "./given.ts";
import { Properties } from "./properties.ts";
import { suggestion } from "./suggest.ts";

export type Accel = "soft" | "kvm";

/** "tcg" is what QEMU calls its own CPU in software. */
const ACCELERATORS: Readonly<Record<string, Accel>> = { tcg: "soft", soft: "soft", kvm: "kvm" };

/** `machineAccel` is the value of -machine accel=. Undefined when nothing is said. Throws CliError USAGE_OPTION. */
export function parseAccel(given: Given, machineAccel: string | undefined): Accel | undefined {
  const wanted = [...(machineAccel === undefined ? [] : [accelOf(machineAccel)])];
  const option = given.last("accel");
  if (option !== undefined) {
    const properties = new Properties("-accel", option, "accel");
    wanted.push(accelOf(properties.required("accel", "tcg")));
    properties.finish();
  }
  if (given.flag("enable-kvm")) wanted.push("kvm");
  const [first] = wanted;
  if (wanted.some((accel) => accel !== first)) {
    throw usageError("two different accelerators are asked for", "keep one of -accel, -machine accel= and -enable-kvm");
  }
  return first;
}

function accelOf(name: string): Accel {
  const found = Object.hasOwn(ACCELERATORS, name) ? ACCELERATORS[name] : undefined;
  if (found !== undefined) return found;
  const known = ["tcg", "kvm"];
  throw usageError(
    `unknown accelerator "${name}"`,
    suggestion(name, known, "write -accel tcg or -accel kvm", (near) => `-accel ${near}`),
  );
}
