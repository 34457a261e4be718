// Recorded cases with other devices in the place of theirs.
// A case that touches registers behind a BAR means those of its kind of device, as a driver does that it binds, so only
// devices of that kind take its place; any other case may be asked of any device.
// Invariants: a device's name appears in paths, names and the fields of steps; all of it is replaced at once.

import type { Json } from "../../lines.ts";
import type { X86Case, X86Step } from "../../x86/format.ts";
import { Numbers } from "./builder.ts";

/** Devices of the recorded machine that vfio-pci holds, by kind. */
export const KINDS: Readonly<Record<string, readonly string[]>> = {
  edu: ["edu0", "edu1", "mf0", "mf2", "br1", "br2"],
  nvme: ["nvme0", "nvme1", "nvme2", "mf4"],
  e1000e: ["nic0", "nic1"],
  uhci: ["uhci0", "uhci1", "br3u"],
  ehci: ["ehci0", "br3e"],
  other: ["vga0", "xhci0", "mf1", "mf3"],
};
export const DEVICES: readonly string[] = Object.values(KINDS).flat();
const CONFIG_REGION = 7;

/** Families that were recorded for some devices by name, and are asked of every device. */
const OF_EVERY_DEVICE = /^(device\.info|device\.config|config\.bars|device\.reset|hot\.info|feature\.probe)\.(\w+)$/;

/** The families' cases for the devices that were not recorded. */
export function otherDevices(cases: readonly X86Case[]): X86Case[] {
  const known = new Set(cases.map(({ name }) => name));
  const families = new Map<string, [X86Case, string]>();
  for (const each of cases) {
    const [, family, device] = OF_EVERY_DEVICE.exec(each.name) ?? [];
    if (family && device && DEVICES.includes(device) && !families.has(family)) families.set(family, [each, device]);
  }
  return [...families].flatMap(([family, [each, device]]) =>
    DEVICES.filter((other) => !known.has(`${family}.${other}`)).map((other) => ({
      ...withDevice(each, device, other),
      name: `${family}.${other}`,
    })),
  );
}

/** Every other case with one device in it, asked of `count` other devices. */
export function otherPlaces(cases: readonly X86Case[], count: number): X86Case[] {
  return cases.flatMap((each, index) => {
    const named = devicesIn(each);
    const [device] = named;
    if (named.length !== 1 || device === undefined || /^irq\.matrix/.test(each.name) || OF_EVERY_DEVICE.test(each.name))
      return [];
    const kind = Object.values(KINDS).find((members) => members.includes(device)) ?? [];
    const numbers = new Numbers(index + 1);
    const free = (meansItsKind(each.steps) ? kind : DEVICES).filter((other) => other !== device);
    const chosen = new Set<string>();
    while (chosen.size < Math.min(count, free.length)) chosen.add(numbers.pick(free));
    return [...chosen].map((other) => ({ ...withDevice(each, device, other), name: `${each.name}@${other}` }));
  });
}

/** The matrices of interrupt requests for devices of other kinds. */
export function otherMatrices(cases: readonly X86Case[]): X86Case[] {
  const template = (state: string): X86Case | undefined =>
    cases.find(({ name }) => new RegExp(`^irq\\.matrix\\.edu0\\.index[03]\\.${state}$`).test(name));
  const known = new Set(cases.map(({ name }) => name));
  const wanted = [
    ...["edu0", "nvme0"].flatMap((device) => [0, 1, 2, 3, 4, 5].map((index) => [device, index] as const)),
    ...["nic0", "xhci0"].flatMap((device) => [0, 1, 2].map((index) => [device, index] as const)),
    ...[0, 1, 3, 4].map((index) => ["mf1", index] as const),
    ["vga0", 0] as const,
    ["mf4", 2] as const,
  ];
  return wanted.flatMap(([device, index]) =>
    ["off", "on"].flatMap((state) => {
      const name = `irq.matrix.${device}.index${index}.${state}`;
      const each = template(state);
      return each && !known.has(name) ? [{ ...withIndex(withDevice(each, "edu0", device), index), name }] : [];
    }),
  );
}

function devicesIn(each: X86Case): string[] {
  const text = JSON.stringify(stepsOf(each.steps));
  return each.machine.devices.map(({ name }) => name).filter((name) => new RegExp(`\\b${name}\\b`).test(text));
}

function withDevice(each: X86Case, device: string, other: string): X86Case {
  const pattern = new RegExp(`\\b${device}\\b`, "g");
  return changed(each, (step) => JSON.parse(JSON.stringify(step).replace(pattern, other)) as Json);
}

function withIndex(each: X86Case, index: number): X86Case {
  return changed(each, (step) =>
    step.cmd === "VFIO_DEVICE_SET_IRQS" ? { ...step, in: { ...(step.in as Json), index } } : step,
  );
}

/** The same steps, as if never recorded. */
export function withoutOutcomes(each: X86Case): X86Case {
  return changed(each, (step) => step);
}

function changed(each: X86Case, change: (step: Json) => Json): X86Case {
  const steps = (all: readonly X86Step[]): X86Step[] =>
    all.map(({ step, do: action, children }) => ({ step, do: change(action), ret: 0, children: steps(children) }));
  return { ...each, steps: steps(each.steps) };
}

/** Whether its steps touch registers behind a BAR, or bind a driver that looks at the hardware. */
function meansItsKind(steps: readonly X86Step[]): boolean {
  return stepsOf(steps).some(
    (step) =>
      (step.op === "bind" && !["none", "vfio-pci", "pci-stub"].includes(String(step.driver))) ||
      ["peek", "poke", "until"].includes(String(step.op)) ||
      (["pread", "pwrite"].includes(String(step.op)) && "region" in step && step.region !== CONFIG_REGION),
  );
}

function stepsOf(steps: readonly X86Step[]): Json[] {
  return steps.flatMap((each) => [each.do, ...stepsOf(each.children)]);
}
