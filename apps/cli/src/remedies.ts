// Which command of minivmm, or which option, does what a hint of the packages says to do by hand. The packages know the
// kernel's interface only. Source of codes and details: VfioError and HotResetError.
import { MinivmmError } from "@minivmm/host/error";

type Details = Readonly<Record<string, unknown>>;

const DOCTOR = "minivmm doctor looks at all that passthrough needs of a host";
const REMEDIES: Readonly<Record<string, (details: Details) => string | null>> = {
  NO_DEVICE: () => "minivmm devices lists them",
  NO_IOMMU_GROUP: () => DOCTOR,
  NO_CONTAINER_NODE: () => DOCTOR,
  WRONG_IOMMU_TYPE: () => DOCTOR,
  UNSAFE_INTERRUPTS: () => DOCTOR,
  NOT_BOUND: bind,
  DEVICE_HELD: bind,
  GROUP_NOT_VIABLE: bindGroup,
  PERMISSION: passIn,
  MEMLOCK: () => "minivmm memlock, with the options of the VM, tells what it will need",
  NO_RESET: planReset,
  RESET_FAILED: planReset,
};

/** A line for below the hint; null when there is nothing to add. The first error of the chain that has one counts. */
export function ownRemedy(error: unknown): string | null {
  for (let each = error, depth = 0; each instanceof MinivmmError && depth < 10; each = each.cause, depth++) {
    const own = REMEDIES[each.code]?.(each.details) ?? null;
    if (own !== null && !each.hint?.includes("minivmm ")) return own;
  }
  return null;
}

function bind({ bdf }: Details): string | null {
  return typeof bdf === "string" ? `minivmm bind ${bdf} does that, and minivmm unbind ${bdf} gives it back` : null;
}

/** Bridges are not bound; with only those in the way the hint's own command is all there is. */
function bindGroup({ blocking }: Details): string | null {
  const members = (Array.isArray(blocking) ? blocking : []) as readonly { bdf: string; bridge?: boolean }[];
  const first = members.find(({ bridge }) => bridge !== true);
  return first ? `minivmm bind --group ${first.bdf} gives the whole group away, unless the host uses some of it` : null;
}

function passIn({ path }: Details): string | null {
  if (typeof path !== "string" || path.startsWith("/dev/vfio/noiommu-")) return null;
  if (/^\/dev\/vfio\/\d+$/.test(path)) return "the descriptor of a group is passed in with -device vfio,...,vfiofd=N";
  if (path === "/dev/vfio/vfio") return "the descriptor of a container is passed in with -device vfio,...,uiommufd=N";
  if (path === "/dev/iommu") return "the descriptor is passed in with -object iommufd,id=ID,fd=N";
  return path.startsWith("/dev/vfio/devices/") ? "the descriptor is passed in with -device vfio,...,fd=N" : null;
}

function planReset({ device }: Details): string | null {
  return typeof device === "string" ? `minivmm reset plan ${device} tells whom a hot reset would hit` : null;
}
