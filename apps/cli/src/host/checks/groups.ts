// Is there something to give to a guest: functions on vfio-pci, groups that no host driver holds, nodes this user may open,
// ways to reset? With --device the questions are about that function and its group, and what stands in the way is a FAIL.
// Source: Documentation/driver-api/vfio.rst; a group's node is asked by opening it for a moment.
import { functionFacts, type GroupOwnership, isVfioPciDriver } from "@minivmm/pci-hotreset";
import { holdersText } from "@minivmm/vfio-core";
import { bridgeRelease, isBridge } from "../binding.ts";
import type { PciListEntry } from "../pci-list.ts";
import { type CheckResult, counted, type Examination, fail, pass, some, warn } from "./check.ts";

const onVfio = ({ driver, viability }: PciListEntry): boolean => isVfioPciDriver(driver) && viability !== "bridge";

/** Functions that the question is about: the one that was asked for, or all on vfio-pci. */
const subjects = ({ entries, device }: Examination): PciListEntry[] =>
  entries.filter((entry) => (device === null ? onVfio(entry) : entry.address === device.bdf));

export function checkDevice(examination: Examination): CheckResult {
  const id = "device";
  const { entries, device } = examination;
  const bound = entries.filter(onVfio).map(({ address }) => address);
  if (device === null) {
    const details = { bound };
    if (bound.length > 0) return pass(id, `${counted(bound.length, "function")} on vfio-pci: ${some(bound)}`, details);
    const free = entries.find(({ viability }) => viability === "free");
    const remedy = `choose one with \`minivmm devices\`, then: minivmm bind ${free?.address ?? "ADDRESS"}`;
    return warn(id, "no function is on vfio-pci", remedy, details);
  }
  const { bdf, driver, group } = device;
  const details = { address: bdf, driver, group };
  if (isBridge(device))
    return fail(id, `${bdf} is a bridge`, "choose a function behind it: `minivmm devices`", details);
  if (group === null) {
    return fail(id, `${bdf} is in no IOMMU group`, "turn the IOMMU on, as said of `iommu`", details);
  }
  if (isVfioPciDriver(driver)) return pass(id, `${bdf} is on ${driver}`, details);
  return fail(id, `${bdf} is on ${driver ?? "no driver"}`, `minivmm bind ${bdf}`, details);
}

interface GroupVerdict {
  readonly group: number;
  readonly viable: boolean;
  readonly functions: readonly string[];
  /** "address driver" of each member in the way. */
  readonly blockedBy: readonly string[];
  /** A member is on vfio-pci. */
  readonly wanted: boolean;
}

/** Groups with something that could be given away. A kernel's own answer counts more than the drivers' names. */
function verdicts({ groups, entries }: Examination): GroupVerdict[] {
  return groups.flatMap((group) => {
    const members = entries.filter((entry) => entry.group === group.id && entry.viability !== "bridge");
    if (members.length === 0) return [];
    const blockedBy = members[0]?.blockedBy ?? [];
    return [
      {
        group: group.id,
        viable: group.viable ?? blockedBy.length === 0,
        functions: members.map(({ address }) => address),
        blockedBy,
        wanted: members.some(onVfio),
      },
    ];
  });
}

export function checkGroups(examination: Examination): CheckResult {
  const id = "groups";
  const { device } = examination;
  const all = verdicts(examination).filter(({ group }) => device === null || group === device.group);
  const viable = all.filter((each) => each.viable);
  const blocked = all.filter((each) => !each.viable);
  const details = {
    viable: viable.map(({ group, functions }) => ({ group, functions })),
    blocked: blocked.map(({ group, functions, blockedBy }) => ({ group, functions, blockedBy })),
  };
  if (all.length === 0) {
    const none = examination.groups.length === 0;
    const remedy = none ? "turn the IOMMU on first" : "choose a function that is in a group: `minivmm devices`";
    return fail(id, `${device?.bdf ?? "no function"} is in ${device ? "no" : "an"} IOMMU group`, remedy, details);
  }
  const why = some(blocked.map(({ group, blockedBy }) => `${group} by ${holders(blockedBy)}`));
  const summary = `${viable.length} viable${blocked.length === 0 ? "" : `, ${blocked.length} held: ${why}`}`;
  const [inTheWay] = blocked.filter(({ wanted }) => device !== null || wanted);
  if (inTheWay !== undefined) {
    const remedy = groupRemedy(examination.host, inTheWay);
    return (device === null ? warn : fail)(id, summary, remedy, details);
  }
  if (viable.length > 0) return pass(id, summary, details);
  return warn(id, summary, "take one from the host: minivmm bind --group ADDRESS", details);
}

function groupRemedy(host: Examination["host"], { group, functions, blockedBy }: GroupVerdict): string {
  if (blockedBy.length === 0) return `end the program that has a device of group ${group} open`;
  const release = bridgeRelease(host, blockedBy);
  if (release !== null) return `take the driver from the bridge: ${release}`;
  return `give the whole group ${group} away: minivmm bind --group ${functions[0]}`;
}

const holders = (blockedBy: readonly string[]): string =>
  blockedBy.length === 0 ? "another owner of its DMA" : some(blockedBy, 2);

export function checkNodes(examination: Examination): CheckResult {
  const id = "group-nodes";
  const { groups, device } = examination;
  const ids = new Set(
    subjects(examination)
      .filter(onVfio)
      .map(({ group }) => group),
  );
  const asked = groups.filter(({ id: group }) => ids.has(group));
  const details = { nodes: asked.map(({ node, state }) => ({ node, state })) };
  if (asked.length === 0) {
    const who = device === null ? "no function is" : `${device.bdf} is not`;
    const remedy = `bind it first: minivmm bind ${device?.bdf ?? "ADDRESS"}`;
    return warn(id, `no node to look at: ${who} on vfio-pci`, remedy, details);
  }
  const bad = asked.filter(({ state }) => state !== "free");
  const [worst] = [...bad].sort((a, b) => Number(a.state === "busy") - Number(b.state === "busy"));
  if (worst === undefined) return pass(id, `can be opened: ${some(asked.map(({ node }) => node))}`, details);
  const { message, remedy } = nodeTrouble(worst, bad);
  // A group that another VM has is as it should be, unless it is the one that was asked for.
  return (worst.state === "busy" && device === null ? warn : fail)(id, message, remedy, details);
}

function nodeTrouble({ state, node, holders: users }: GroupOwnership, bad: readonly GroupOwnership[]) {
  const nodes = bad.filter((each) => each.state === state).map((each) => each.node);
  const list = some(nodes);
  switch (state) {
    case "busy":
      return { message: `open elsewhere: ${list}`, remedy: freeNode(users, node) };
    case "denied":
      return { message: `no permission to open ${list}`, remedy: `chown "$USER" ${nodes.join(" ")}` };
    case "absent":
      return { message: `missing: ${list}`, remedy: "make it visible here: into a container it has to be passed" };
    default:
      return { message: `cannot be opened: ${list}`, remedy: "the kernel's log (dmesg) has the reason" };
  }
}

function freeNode(users: GroupOwnership["holders"], node: string): string {
  if (!users.some((user) => user.node !== null)) return `find out by whom: as root, fuser -v ${node}`;
  return `${holdersText(users, node)}: end it, or choose another function`;
}

export function checkReset(examination: Examination): CheckResult {
  const id = "reset";
  const { host, device } = examination;
  const functions = subjects(examination).map(({ address }) => {
    const { resetMethods } = functionFacts(host, address);
    return { address, methods: resetMethods };
  });
  const details = { functions };
  const without = functions.filter(({ methods }) => methods?.length === 0).map(({ address }) => address);
  const [first] = without;
  if (first !== undefined) {
    const message = `without a reset of their own: ${some(without)}`;
    return warn(id, message, `see whether their bus can be reset: minivmm reset plan ${first}`, details);
  }
  if (functions.length === 0) return pass(id, "nothing is on vfio-pci yet", details);
  const what = functions.map(
    ({ address, methods }) => `${address} ${methods?.join(" ") ?? "in a way the kernel keeps"}`,
  );
  return pass(id, `${device === null ? "each has one: " : ""}${some(what)}`, details);
}
