// The monitors that can run the level-2 guest, in one machine of the rig: minivmm, and QEMU to compare with.
import type { Case } from "./cases.ts";
import { MINIVMM, quoted } from "./machine.ts";

export const INITRD = "/boot/level2.img";
const MEMORY = 256;

export interface Monitor {
  readonly name: string;
  /** Options of rig.sh that bring it into the level-1 machine. */
  readonly options: readonly string[];
  command(each: Case): string;
}

/** Both are told the same in the same words. */
function common({ append, cpus, device }: Case): string {
  const boot = `-kernel /boot/vmlinux -initrd ${INITRD} -append ${quoted(append)}`;
  return `-enable-kvm -smp ${cpus} -m ${MEMORY} -no-reboot ${boot} -device vfio-pci,host=${device.bdf}`;
}

const MONITORS: readonly Monitor[] = [
  {
    name: "minivmm",
    options: ["--node"],
    command: (each) => `${MINIVMM} run -M pc -nographic ${common(each)}`,
  },
  {
    name: "qemu",
    options: ["--qemu"],
    command: (each) => `qemu-system-x86_64 -M q35 -cpu host -nodefaults -display none -serial stdio ${common(each)}`,
  },
];

/** Those that `names` lists with commas between. Throws for a name that there is not. */
export function monitorsOf(names: string): Monitor[] {
  return names.split(",").map((name) => {
    const found = MONITORS.find((each) => each.name === name);
    if (!found)
      throw new Error(`no monitor is called "${name}"; there are ${MONITORS.map((each) => each.name).join(", ")}`);
    return found;
  });
}
