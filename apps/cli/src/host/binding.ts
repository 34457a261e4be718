// Giving PCI functions to another driver and back, as writes to sysfs, with what stands against it, and undone on failure.
// Bind: driver_override, unbind, drivers_probe. Unbind: the override is cleared first, so that the probe is the host's.
// A probe reports no driver's refusal, so the result is read back, and the reason asked of the driver's own `bind`.
// Source: Documentation/ABI/testing/sysfs-bus-pci, drivers/base/{bus,dd}.c. Invariant: after a failure every function that
// was touched has its former override and driver, or what could not be restored is told.
import { EACCES, EBUSY, EINVAL, ENODEV, ENOENT, EPERM, errnoName, type Host, type MinivmmError } from "@minivmm/host";
import { type FunctionFacts, functionFacts, groupOwnership, isVfioPciDriver, textFile } from "@minivmm/pci-hotreset";
import { driverOf, fullBdf, groupMembers, holdersText } from "@minivmm/vfio-core";
import { CliError } from "../errors.ts";
import { type Use, usesOf } from "./in-use.ts";

const BUS = "/sys/bus/pci";
const DEVICES = `${BUS}/devices`;
const CLASS_BRIDGE = 0x06;
/** Drivers besides vfio-pci that do nothing with a device that they do not know. */
const ANY_DEVICE = new Set(["pci-stub", "uio_pci_generic", "igb_uio"]);

export type BindAction = "bind" | "unbind";

/** One write: `value` to `path`. */
export interface BindStep {
  readonly path: string;
  readonly value: string;
}

/** Why a function is left alone. Those with `forcible` are what --force overrules. */
export interface BindObstacle {
  readonly code: "BRIDGE" | "NO_GROUP" | "NO_DRIVER" | "FOREIGN_DRIVER" | "DEVICE_IN_USE" | "GROUP_BUSY";
  readonly message: string;
  readonly remedy: string;
  readonly forcible: boolean;
}

export interface BindPlan {
  readonly bdf: string;
  readonly facts: FunctionFacts;
  /** driver_override at the beginning, null for none. */
  readonly override: string | null;
  /** Empty: it is as it should be already. */
  readonly steps: readonly BindStep[];
  readonly uses: readonly Use[];
  readonly obstacles: readonly BindObstacle[];
}

export interface BindReport {
  readonly plan: BindPlan;
  readonly status: "done" | "unchanged" | "planned" | "refused" | "failed" | "undone" | "skipped";
  /** Driver afterwards, null for none. */
  readonly driver: string | null;
}

export interface BindOutcome {
  readonly reports: readonly BindReport[];
  readonly error: MinivmmError | null;
  /** What could not be put back after a failure. */
  readonly left: readonly string[];
}

/** A bridge by its header, or by its class: bridges stay with the host. */
export function isBridge({ bridge, classCode }: FunctionFacts): boolean {
  return bridge || (classCode !== null && classCode >> 16 === CLASS_BRIDGE);
}

/**
 * The command that frees a group of which only bridges are in the way (a hotplug driver such as shpchp holds one); null
 * when another function is. `blockedBy` as listPci has it.
 */
export function bridgeRelease(host: Host, blockedBy: readonly string[]): string | null {
  const [first, ...more] = blockedBy.map((each) => each.split(" ") as [string, string]);
  if (first === undefined || [first, ...more].some(([bdf]) => !isBridge(functionFacts(host, bdf)))) return null;
  const [bdf, driver] = first;
  return `echo ${bdf} > ${BUS}/drivers/${driver}/unbind`;
}

/** Adds the other functions of the addresses' IOMMU groups, without bridges. Throws CliError NO_DEVICE. */
export function wholeGroups(host: Host, addresses: readonly string[]): string[] {
  const all = addresses.flatMap((bdf) => {
    const { group } = factsOf(host, bdf);
    const members = group === null ? [] : groupMembers(host, group).map((member) => member.bdf);
    return [bdf, ...members.filter((member) => !isBridge(functionFacts(host, member)))];
  });
  return [...new Set(all)];
}

/** What would be written for one function, and what stands against it. Throws CliError NO_DEVICE. */
export function planBinding(host: Host, action: BindAction, address: string, driver: string): BindPlan {
  const facts = factsOf(host, address);
  const { bdf } = facts;
  const override = overrideOf(host, bdf);
  const uses = action === "bind" && facts.driver !== driver ? usesOf(host, bdf) : [];
  const steps = action === "bind" ? bindSteps(facts, override, driver) : unbindSteps(facts, override, driver);
  const obstacles = steps.length === 0 && !isBridge(facts) ? [] : obstaclesOf(host, action, facts, driver, uses);
  return { bdf, facts, override, steps, uses, obstacles };
}

/** Does what the plans say, all or nothing. Throws nothing: the outcome tells of every failure. */
export function carryOutBinding(
  host: Host,
  action: BindAction,
  plans: readonly BindPlan[],
  driver: string,
): BindOutcome {
  const begun: BindPlan[] = [];
  let error: MinivmmError | null = null;
  for (const plan of plans) {
    if (plan.steps.length === 0) continue;
    begun.push(plan);
    error = carryOut(host, action, plan, driver);
    if (error !== null) break;
  }
  const left = error === null ? [] : [...begun].reverse().flatMap((plan) => restore(host, plan));
  const reports = plans.map((plan): BindReport => {
    const now = driverOf(host, plan.bdf);
    if (plan.steps.length === 0) return { plan, status: "unchanged", driver: now };
    if (error === null) return { plan, status: "done", driver: now };
    if (!begun.includes(plan)) return { plan, status: "skipped", driver: now };
    return { plan, status: plan === begun.at(-1) ? "failed" : "undone", driver: now };
  });
  return { reports, error, left };
}

function factsOf(host: Host, address: string): FunctionFacts {
  const bdf = fullBdf(address).toLowerCase();
  if (host.exists(`${DEVICES}/${bdf}`)) return functionFacts(host, bdf);
  throw new CliError(`there is no PCI device ${bdf} on ${host.name}`, {
    code: "NO_DEVICE",
    errno: ENODEV,
    details: { address: bdf },
    hint: "`minivmm devices` and `lspci -D` list them",
  });
}

function overrideOf(host: Host, bdf: string): string | null {
  const text = textFile(host, `${DEVICES}/${bdf}/driver_override`);
  return text === null || text === "" || text === "(null)" ? null : text;
}

function bindSteps(facts: FunctionFacts, override: string | null, driver: string): BindStep[] {
  if (facts.driver === driver) return [];
  const { bdf } = facts;
  return [
    ...(override === driver ? [] : [overrideStep(bdf, driver)]),
    ...(facts.driver === null ? [] : [unbindStep(bdf, facts.driver)]),
    probeStep(bdf),
  ];
}

/** A function that another driver has keeps it: only an override to the guest's driver, left over from before, goes. */
function unbindSteps(facts: FunctionFacts, override: string | null, driver: string): BindStep[] {
  const { bdf } = facts;
  const clear = override === null ? [] : [overrideStep(bdf, null)];
  if (facts.driver === null) return [...clear, probeStep(bdf)];
  if (isGuests(facts.driver, driver)) return [...clear, unbindStep(bdf, facts.driver), probeStep(bdf)];
  return override !== null && isGuests(override, driver) ? clear : [];
}

/** Drivers that are built on vfio-pci go back with it. */
const isGuests = (current: string, driver: string): boolean =>
  current === driver || (isVfioPciDriver(driver) && isVfioPciDriver(current));

const overrideStep = (bdf: string, driver: string | null): BindStep => ({
  path: `${DEVICES}/${bdf}/driver_override`,
  value: `${driver ?? ""}\n`,
});
const unbindStep = (bdf: string, driver: string): BindStep => ({
  path: `${BUS}/drivers/${driver}/unbind`,
  value: `${bdf}\n`,
});
const probeStep = (bdf: string): BindStep => ({ path: `${BUS}/drivers_probe`, value: `${bdf}\n` });

function obstaclesOf(
  host: Host,
  action: BindAction,
  facts: FunctionFacts,
  driver: string,
  uses: readonly Use[],
): BindObstacle[] {
  const { bdf, group } = facts;
  if (isBridge(facts)) {
    const message = `${bdf} is a bridge, which stays with the host`;
    return [{ code: "BRIDGE", message, remedy: "name the functions behind it", forcible: false }];
  }
  const found: BindObstacle[] = [];
  if (action === "bind" && !host.exists(`${BUS}/drivers/${driver}`)) {
    const message = `the host has no PCI driver ${driver}`;
    found.push({ code: "NO_DRIVER", message, remedy: `load its module: modprobe ${driver}`, forcible: false });
  }
  if (action === "bind" && !isVfioPciDriver(driver) && !ANY_DEVICE.has(driver)) {
    const message = `${bdf} may be no device for ${driver}: driver_override makes it take what its ids do not name`;
    const remedy = "`minivmm unbind` lets the kernel choose the host's driver; a wrong one may crash it (--force)";
    found.push({ code: "FOREIGN_DRIVER", message, remedy, forcible: true });
  }
  if (action === "bind" && group === null && isVfioPciDriver(driver)) {
    const message = `${bdf} is in no IOMMU group, so nothing would confine its DMA`;
    found.push({ code: "NO_GROUP", message, remedy: "`minivmm doctor` says how to turn the IOMMU on", forcible: true });
  }
  for (const use of uses) found.push(inUse(bdf, use));
  if (group !== null && isVfioPciDriver(facts.driver)) {
    const { state, node, holders } = groupOwnership(host, group, []);
    const message = `${bdf} cannot leave ${facts.driver}: IOMMU group ${group} is in use: ${holdersText(holders, node)}`;
    // The kernel would keep the writer waiting until the last user is gone.
    if (state === "busy") {
      found.push({
        code: "GROUP_BUSY",
        message,
        remedy: holders.some((holder) => holder.node !== null) ? "end it first" : `end what fuser -v ${node} shows`,
        forcible: true,
      });
    }
  }
  return found;
}

function inUse(bdf: string, use: Use): BindObstacle {
  const first = {
    mount: `unmount ${use.name}`,
    swap: `swapoff /dev/${use.name}`,
    holder: `take ${use.name} out of it`,
    network: `ip link set ${use.name} down`,
    unknown: "make sure of it",
  }[use.kind];
  const message = `${bdf} is in use: ${use.message}`;
  return {
    code: "DEVICE_IN_USE",
    message,
    remedy: `${first} first, or take it all the same with --force`,
    forcible: true,
  };
}

/** The first error of a function's steps, or null. */
function carryOut(
  host: Host,
  action: BindAction,
  { bdf, facts, steps }: BindPlan,
  driver: string,
): MinivmmError | null {
  for (const step of steps) {
    const result = host.writeFile(step.path, step.value);
    if (result < 0) return refused(action, bdf, facts, driver, step, -result);
  }
  const now = driverOf(host, bdf);
  if (action === "unbind") {
    if (now === null || !isGuests(now, driver) || !steps.some(({ path }) => path.endsWith("/unbind"))) return null;
    const busy = facts.group !== null && groupOwnership(host, facts.group, []).state === "busy";
    if (busy) return refused(action, bdf, facts, driver, unbindStep(bdf, now), EBUSY);
    return new CliError(`${bdf} was not given back: ${now} took it again`, {
      code: "BIND_FAILED",
      details: { address: bdf, driver: now },
      hint: `its ids were added to ${now}: write them to ${BUS}/drivers/${now}/remove_id first`,
    });
  }
  if (now === driver) return null;
  const ask = { path: `${BUS}/drivers/${driver}/bind`, value: `${bdf}\n` };
  const result = host.writeFile(ask.path, ask.value);
  return driverOf(host, bdf) === driver
    ? null
    : refused(action, bdf, facts, driver, ask, result < 0 ? -result : ENODEV);
}

function refused(
  action: BindAction,
  bdf: string,
  { group }: FunctionFacts,
  driver: string,
  step: BindStep,
  errno: number,
): CliError {
  const what = action === "bind" ? `${bdf} was not bound to ${driver}` : `${bdf} was not given back`;
  return new CliError(`${what}: writing ${JSON.stringify(step.value.trim())} to ${step.path}: ${errnoName(errno)}`, {
    code: "BIND_FAILED",
    errno,
    details: { address: bdf, driver, path: step.path, value: step.value },
    hint: hintFor(errno, group, driver),
  });
}

function hintFor(errno: number, group: number | null, driver: string): string {
  const own = group === null ? "the device" : `IOMMU group ${group}`;
  if (errno === EACCES || errno === EPERM) return "only root may change drivers: run it with sudo";
  if (errno === ENODEV) return `the device is gone, or the driver ${driver} does not take it`;
  if (errno === EBUSY) return `${own} is in use: end the program or the driver that has it`;
  if (errno === ENOENT) return "this kernel has no such file: driver_override came with Linux 3.16";
  if (errno === EINVAL && group === null) return "without an IOMMU vfio-pci refuses: turn it on, see `minivmm doctor`";
  return "the kernel's log (dmesg) has the reason";
}

/** Puts override and driver back; what did not work, as sentences. */
function restore(host: Host, { bdf, facts, override }: BindPlan): string[] {
  const failed: string[] = [];
  const write = (path: string, value: string, what: string): void => {
    const result = host.writeFile(path, value);
    if (result < 0) failed.push(`${bdf}: ${what}: ${errnoName(-result)}`);
  };
  if (overrideOf(host, bdf) !== override) {
    const { path, value } = overrideStep(bdf, override);
    write(path, value, `driver_override is not ${override ?? "empty"} again`);
  }
  const now = driverOf(host, bdf);
  if (now === facts.driver) return failed;
  if (now !== null) write(unbindStep(bdf, now).path, `${bdf}\n`, `${now} keeps it`);
  if (facts.driver !== null && driverOf(host, bdf) === null) {
    write(`${BUS}/drivers/${facts.driver}/bind`, `${bdf}\n`, `${facts.driver} has it no longer`);
  }
  return failed;
}
