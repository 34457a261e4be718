/**
 * Turns an errno of a group call into what a user can act on: sysfs tells who else is in the group and which driver has
 * it, /proc who has its node open. Every function here returns the error to throw.
 */
import { EACCES, EBUSY, EINVAL, ENODEV, ENOENT, EPERM, type Host } from "@minivmm/host";
import { VfioError } from "../error.ts";
import { holdersOf, holdersRemedy, holdersText } from "./holders.ts";
import { openDenied } from "./permission.ts";
import { refused, unsafeInterrupts, withoutIommu } from "./refusals.ts";
import {
  bindByHand,
  type GroupMember,
  groupMembers,
  groupNode,
  isBridge,
  leavesGroupFree,
  nodesOfGroup,
  unbindByHand,
} from "./sysfs.ts";
import { textFile } from "./text-file.ts";

export function groupOpenRefused(host: Host, group: number, result: number): VfioError {
  const path = groupNode(host, group);
  if (result === -EPERM && path.includes("noiommu-")) return withoutIommu(`${path} cannot be opened`);
  if (result === -ENOENT || result === -ENODEV) return withoutNode(host, group, path, -result);
  if (result === -EBUSY) return groupBusy(host, group, path);
  return openDenied(host, path, result) ?? refused(`${path} cannot be opened`, result, { group, path });
}

function withoutNode(host: Host, group: number, path: string, errno: number): VfioError {
  const members = groupMembers(host, group);
  const bound = members.find(({ driver }) => driver?.includes("vfio"));
  const endpoints = members.filter(({ bdf }) => !isBridge(host, bdf));
  const first = endpoints.find(({ driver }) => driver === null) ?? endpoints[0];
  const why = bound
    ? `although ${bound.bdf} is bound to ${bound.driver}`
    : `no device of IOMMU group ${group} is bound to vfio-pci`;
  const bind = first ? ` Bind one by hand: ${bindByHand(first)}` : "";
  return new VfioError(`${path} does not exist${bound ? `, ${why}` : `: ${why}`}`, {
    code: "NO_GROUP_NODE",
    errno,
    details: { group, path, members },
    hint: bound
      ? "Make the node visible here: inside a container it has to be passed in."
      : `The group has ${listMembers(endpoints)}.${bind}`,
  });
}

function groupBusy(host: Host, group: number, path: string): VfioError {
  const holders = holdersOf(host, nodesOfGroup(host, group));
  return new VfioError(`IOMMU group ${group} is in use: ${holdersText(holders, path)}`, {
    code: "GROUP_BUSY",
    errno: EBUSY,
    details: { group, path, holders },
    hint: `A group belongs to one user at a time. ${holdersRemedy(holders, path)}`,
  });
}

/** A member in the way of a group's use. */
export interface BlockingMember extends GroupMember {
  readonly bridge: boolean;
}

/** Members that a driver of the host has. */
export function blockingMembers(members: readonly GroupMember[]): GroupMember[] {
  return members.filter(({ driver }) => driver !== null && !leavesGroupFree(driver));
}

export function groupNotViable(host: Host, group: number, errno?: number): VfioError {
  const members = groupMembers(host, group);
  const blocking: BlockingMember[] = blockingMembers(members).map((member) => ({
    ...member,
    bridge: isBridge(host, member.bdf),
  }));
  if (blocking.length === 0) return ownedElsewhere(host, group, members, errno);
  const who = blocking.map(({ bdf, driver }) => `${bdf} is bound to ${driver}`).join(", ");
  const commands = blocking.map((member) => (member.bridge ? unbindByHand(member) : bindByHand(member)));
  return new VfioError(`IOMMU group ${group} is not viable: ${who}`, {
    code: "GROUP_NOT_VIABLE",
    errno,
    details: { group, members, blocking },
    hint: `All devices of a group move together, if the host can do without: ${commands.join("; ")}`,
  });
}

/** No host driver has a member: somebody uses the DMA of one through its own node, or the kernel itself does. */
function ownedElsewhere(host: Host, group: number, members: readonly GroupMember[], errno?: number): VfioError {
  const path = groupNode(host, group);
  const nodes = nodesOfGroup(host, group).filter((node) => node !== path);
  const [first = path] = nodes;
  const holders = holdersOf(host, nodes);
  return new VfioError(
    `IOMMU group ${group} is not viable: its DMA has another owner than VFIO's groups; ${holdersText(holders, first)}`,
    {
      code: "GROUP_NOT_VIABLE",
      errno,
      details: { group, members, blocking: [], holders },
      hint: `A device is used through its group or through its own node. ${holdersRemedy(holders, first)}`,
    },
  );
}

/** `usable` is what the group says of itself: attached to a container, viable. */
export function setContainerRefused(
  host: Host,
  group: number,
  usable: { readonly containerSet: boolean; readonly viable: boolean },
  result: number,
): VfioError {
  const what = `IOMMU group ${group} cannot join the container`;
  if (result === -EPERM && groupNode(host, group).includes("noiommu-")) {
    return withoutIommu(`${what}, or other groups in it have an IOMMU`);
  }
  if (result === -EINVAL && usable.containerSet) {
    return new VfioError(`IOMMU group ${group} has a container already`, {
      code: "GROUP_ATTACHED",
      errno: EINVAL,
      details: { group },
      hint: "Take it out of that one first (unsetContainer).",
    });
  }
  if (result === -EINVAL || result === -EPERM) {
    const regions = fixedMappings(host, group);
    if (regions.length > 0) return needsFixedMapping(what, group, regions, -result);
  }
  if (result !== -EPERM) return refused(what, result, { group });
  return usable.viable ? unsafeInterrupts(host, what, { group }) : groupNotViable(host, group, EPERM);
}

/** Memory that firmware wants a device of the group to reach at all times (RMRR, IVMD): "direct" and no other word. */
function fixedMappings(host: Host, group: number): string[] {
  const text = textFile(host, `/sys/kernel/iommu_groups/${group}/reserved_regions`) ?? "";
  return text.split("\n").flatMap((line) => /^(\S+) (\S+) direct$/.exec(line.trim())?.slice(1, 3).join("-") ?? []);
}

function needsFixedMapping(what: string, group: number, regions: readonly string[], errno: number): VfioError {
  return new VfioError(`${what}: firmware demands that its devices reach memory at ${regions.join(", ")}`, {
    code: "FIRMWARE_MAPPING",
    errno,
    details: { group, regions },
    hint: "Such a device cannot be given away: turn what uses it off in the firmware (USB legacy support, management), or ask its vendor.",
  });
}

/** `name` is what was asked for: an address, perhaps with options of the driver. */
export function deviceRefused(host: Host, group: number, name: string, result: number): VfioError {
  const [bdf = name, ...options] = name.trim().split(/\s+/);
  const what = `device ${bdf} of IOMMU group ${group} cannot be opened`;
  const members = groupMembers(host, group);
  switch (result) {
    case -ENODEV:
      return notInGroup(group, bdf, members);
    case -EACCES:
      return new VfioError(
        `${what}: its physical or virtual functions are in use, and their token is missing (EACCES)`,
        {
          code: "VF_TOKEN",
          errno: EACCES,
          details: { group, bdf },
          hint: `Append the token that the user of the physical function has set: "${bdf} vf_token=UUID".`,
        },
      );
    case -EINVAL:
      // Kernels before 5.18 let a group that is not viable into a container, and refuse its devices.
      if (blockingMembers(members).length > 0) return groupNotViable(host, group, EINVAL);
      if (options.length > 0) {
        return new VfioError(`${what} with "${options.join(" ")}": it takes no such option now (EINVAL)`, {
          code: "VF_TOKEN",
          errno: EINVAL,
          details: { group, bdf, options },
          hint: "A token is for functions of SR-IOV whose physical function is in use through VFIO: vf_token=UUID.",
        });
      }
      return new VfioError(`${what}: the group is in no container with an IOMMU type (EINVAL)`, {
        code: "NO_IOMMU_TYPE",
        errno: EINVAL,
        details: { group, bdf },
        hint: "Put the group into a container (setContainer) and set the type (setIommu) first.",
      });
    default:
      return refused(what, result, { group, bdf });
  }
}

function notInGroup(group: number, bdf: string, members: readonly GroupMember[]): VfioError {
  const member = members.find((each) => each.bdf === bdf);
  const why = member ? `is bound to ${member.driver ?? "no driver"}` : `is not in IOMMU group ${group}`;
  return new VfioError(`device ${bdf} cannot be opened through VFIO: it ${why}`, {
    code: "DEVICE_NOT_IN_GROUP",
    errno: ENODEV,
    details: { group, bdf, members },
    hint: member ? `Bind it to vfio-pci: ${bindByHand(member)}` : `The group has ${listMembers(members)}.`,
  });
}

function listMembers(members: readonly GroupMember[]): string {
  return members.map(({ bdf, driver }) => `${bdf} (${driver ?? "no driver"})`).join(", ") || "no members";
}
