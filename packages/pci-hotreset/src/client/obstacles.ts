/**
 * What is missing for the kernel to accept a hot reset, each with what to do about it.
 *
 * The kernel's rules: something above can be reset; everything hit is an endpoint on a vfio-pci driver and no virtual
 * function (those have reset sets of their own); a descriptor of each of their groups is handed over. Through one
 * device, which opens only in a viable group with a container. Source: vfio_pci_dev_set_hot_reset, vfio_pci_is_device_in_set.
 */
import { EACCES, errnoName, type Host, O_CLOEXEC, O_RDWR } from "@minivmm/host";
import { holdersRemedy, holdersText, iommuRemedy, leavesGroupFree, openDenied } from "@minivmm/vfio-core";
import { DEVICES, type FunctionFacts, isVfioPciDriver } from "./function-facts.ts";
import type { GroupOwnership } from "./group-ownership.ts";
import type { ResetReach } from "./reach.ts";

export type ObstacleCode =
  | "ROOT_BUS"
  | "VIRTUAL_BUS"
  | "NO_BUS_RESET"
  | "BRIDGE"
  | "VIRTUAL_FUNCTION"
  | "NO_GROUP"
  | "NOT_BOUND"
  | "HELD"
  | "NOT_VIABLE"
  | "NO_NODE"
  | "GROUP_BUSY"
  | "PERMISSION"
  | "NO_VFIO";

export interface Obstacle {
  readonly code: ObstacleCode;
  /** The function it is about, null for one about a group or the host. */
  readonly bdf: string | null;
  readonly group: number | null;
  /** What is in the way: a sentence without a full stop. */
  readonly message: string;
  /** What to do about it, in the same form. */
  readonly remedy: string;
  /** The remedy as shell commands of root; empty where there is none. */
  readonly commands: readonly string[];
}

const CONTAINER = "/dev/vfio/vfio";
/** A sentence as it goes on after something else. */
const clause = (sentence: string): string => sentence.charAt(0).toLowerCase() + sentence.slice(1).replace(/\.$/, "");

/** Why nothing above the function can reset it; null when something can. */
export function reachObstacle(reach: ResetReach, facts: FunctionFacts): Obstacle | null {
  if (reach.impossible === null) return null;
  const { bdf, resetMethods, group, driver } = facts;
  const why = {
    ROOT_BUS: `${bdf} sits on a root bus: no bridge above it can be reset`,
    VIRTUAL_BUS: `${bdf} is a virtual function on a bus without a bridge`,
    NO_BUS_RESET: `${reach.culprit} is known to be lost by a bus reset, so the kernel does none`,
  }[reach.impossible];
  const own = { code: reach.impossible, bdf, group, message: why };
  if (resetMethods?.length === 0)
    return { ...own, remedy: "it has no reset of its own either: restart the machine", commands: [] };
  const how = resetMethods === null ? "" : ` (${resetMethods.join(", ")})`;
  // A function that a guest or a host driver works with must not be reset under them.
  const commands = driver === null || isVfioPciDriver(driver) ? [`echo 1 > ${DEVICES}/${bdf}/reset`] : [];
  return { ...own, remedy: `reset the function alone${how}`, commands };
}

/** What makes the kernel refuse because of one function that would be hit. */
export function functionObstacles(host: Host, facts: FunctionFacts): Obstacle[] {
  const { bdf, group, driver } = facts;
  const about = { bdf, group } as const;
  if (facts.bridge) {
    const message = `${bdf} is a bridge, which VFIO cannot own`;
    return [{ ...about, code: "BRIDGE", message, remedy: "ask for a function behind the lowest bridge", commands: [] }];
  }
  const found: Obstacle[] = [];
  if (facts.physicalFunction !== null) {
    const pf = facts.physicalFunction;
    found.push({
      ...about,
      code: "VIRTUAL_FUNCTION",
      message: `${bdf} is a virtual function of ${pf}: the kernel resets no bus that has one`,
      remedy: `remove the virtual functions of ${pf}`,
      commands: [`echo 0 > ${DEVICES}/${pf}/sriov_numvfs`],
    });
  }
  if (group === null) {
    found.push({
      ...about,
      code: "NO_GROUP",
      message: `${bdf} is in no IOMMU group`,
      remedy: clause(iommuRemedy(host)),
      commands: [],
    });
  } else if (driver === null) {
    const message = `${bdf} is bound to no driver`;
    found.push({
      ...about,
      code: "NOT_BOUND",
      message,
      remedy: `bind ${bdf} to vfio-pci`,
      commands: bindCommands(bdf),
    });
  } else if (!isVfioPciDriver(driver)) {
    const message = `${bdf} is held by the host driver ${driver}`;
    const remedy = `take ${bdf} from ${driver}, then bind it to vfio-pci`;
    found.push({ ...about, code: "HELD", message, remedy, commands: [unbindCommand(bdf), ...bindCommands(bdf)] });
  }
  return found;
}

/**
 * What keeps a group from being opened or, for the one of the device that is asked to reset (`attaches`), from being
 * used. `explained`: functions that have an obstacle of their own; what follows from those is not said again.
 */
export function groupObstacles(
  host: Host,
  group: GroupOwnership,
  attaches: boolean,
  explained: ReadonlySet<string>,
): Obstacle[] {
  return [...openObstacles(host, group), ...(attaches ? viabilityObstacles(group, explained) : [])];
}

function openObstacles(host: Host, group: GroupOwnership): Obstacle[] {
  const about = { bdf: null, group: group.id } as const;
  const node = group.node;
  switch (group.state) {
    case "busy": {
      const message = `IOMMU group ${group.id} belongs to one process at a time: ${holdersText(group.holders, node)}`;
      const remedy = clause(holdersRemedy(group.holders, node));
      return [{ ...about, code: "GROUP_BUSY", message, remedy, commands: [`fuser -v ${node}`] }];
    }
    case "denied": {
      const message = openDenied(host, node, -(group.errno ?? EACCES))?.message ?? `no permission to open ${node}`;
      if (group.noiommu && group.errno !== EACCES) {
        const remedy = "run with CAP_SYS_RAWIO: without an IOMMU nothing confines the device";
        return [{ ...about, code: "PERMISSION", message, remedy, commands: [] }];
      }
      const remedy = "give the user access to it, or run as root";
      return [{ ...about, code: "PERMISSION", message, remedy, commands: [`chown "$USER" ${node}`] }];
    }
    case "absent": {
      if (!group.members.some(({ driver }) => isVfioPciDriver(driver))) return [];
      const message = `${node} does not exist although a function of the group is on vfio-pci`;
      const remedy = "make the node visible here: inside a container it has to be passed in";
      return [{ ...about, code: "NO_NODE", message, remedy, commands: [] }];
    }
    case "failed": {
      const message = `${node} cannot be opened: ${errnoName(group.errno ?? 0)}`;
      return [{ ...about, code: "NO_NODE", message, remedy: "look at the kernel's log for the reason", commands: [] }];
    }
    default:
      return [];
  }
}

/** VFIO's own node, which every use of a group needs. */
export function containerObstacle(host: Host): Obstacle | null {
  const fd = host.open(CONTAINER, O_RDWR | O_CLOEXEC);
  if (fd >= 0) {
    host.close(fd);
    return null;
  }
  const about = { bdf: null, group: null } as const;
  const message = openDenied(host, CONTAINER, fd)?.message ?? `${CONTAINER} cannot be opened: ${errnoName(-fd)}`;
  if (fd === -EACCES) {
    const remedy = "give the user access to it, or run as root";
    return { ...about, code: "PERMISSION", message, remedy, commands: [`chmod 0666 ${CONTAINER}`] };
  }
  return { ...about, code: "NO_VFIO", message, remedy: "load VFIO's modules", commands: ["modprobe vfio-pci"] };
}

/** A group that cannot be asked (no node yet, no permission) is judged by its members' drivers. */
function viabilityObstacles(group: GroupOwnership, explained: ReadonlySet<string>): Obstacle[] {
  if (group.viable === true || group.noiommu) return [];
  const holders = group.members.filter(({ driver }) => driver !== null && !leavesGroupFree(driver));
  if (holders.length === 0) {
    if (group.viable === null) return [];
    const message = `IOMMU group ${group.id} is in use by another owner of its DMA`;
    const remedy = "end the program that has a device of the group open through an iommufd";
    return [{ bdf: null, group: group.id, code: "NOT_VIABLE", message, remedy, commands: [] }];
  }
  return holders
    .filter(({ bdf }) => !explained.has(bdf))
    .map(({ bdf, driver }) => ({
      bdf,
      group: group.id,
      code: "NOT_VIABLE",
      message: `IOMMU group ${group.id} cannot be used: its member ${bdf} is held by the host driver ${driver}`,
      remedy: `take ${bdf} from ${driver}: a group moves as a whole`,
      commands: [unbindCommand(bdf)],
    }));
}

function unbindCommand(bdf: string): string {
  return `echo ${bdf} > ${DEVICES}/${bdf}/driver/unbind`;
}

function bindCommands(bdf: string): string[] {
  return [`echo vfio-pci > ${DEVICES}/${bdf}/driver_override`, `echo ${bdf} > /sys/bus/pci/drivers_probe`];
}
