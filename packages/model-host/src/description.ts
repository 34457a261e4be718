// A modelled host as plain data: JSON or an object literal. This file is the schema; everything that can be wrong with
// a description is found here or by the PCI topology, before anything is built.
// Invariants: descriptions hold no live objects and can be stored, compared and sent; disks are named, not opened.

import { z } from "zod";
import { ModelHostError } from "./error.ts";
import {
  barsDescription,
  domainPlatform,
  type ShadowRomDescription,
  shadowRomDescription,
  type WindowsDescription,
  windowsDescription,
} from "./platform.ts";

const diskDescription = z.union([
  z.strictObject({ kind: z.literal("null"), size: z.number().int().positive() }),
  z.strictObject({ kind: z.literal("memory"), size: z.number().int().positive() }),
  z.strictObject({ kind: z.literal("file"), path: z.string().min(1), readonly: z.boolean().optional() }),
]);

/** What a storage device stores on: zeroed host memory, an image file, or nothing, which reads as zeroes. */
export type DiskDescription = z.infer<typeof diskDescription>;

export interface FunctionDescription {
  /** `device.function` on its bus, such as "00.0". */
  at: string;
  /** A device model: "nvme", "edu", "passive", or a stand-in ("e1000e", "xhci"). */
  model?: string | undefined;
  /** Options of that model (see @minivmm/pci/devices); for nvme, `disk` is a DiskDescription. */
  options?: Record<string, unknown> | undefined;
  /** A bridge instead of a device. */
  bridge?: "root-port" | "upstream-port" | "downstream-port" | "pcie-pci-bridge" | "pci-bridge" | undefined;
  acs?: boolean | undefined;
  multifunction?: boolean | undefined;
  /** Driver bound at boot; absent: none. */
  driver?: string | undefined;
  /** Ports: pciehp serves the slot. */
  hotplug?: boolean | undefined;
  /** Ports: physical slot number. */
  slot?: number | undefined;
  /** Bridges: windows instead of those that would be found; BARs below then have addresses of their own. */
  windows?: WindowsDescription | undefined;
  /** Forced addresses, by BAR. */
  bars?: Record<string, { address: number }> | undefined;
  /** What firmware left in COMMAND. */
  command?: number | undefined;
  /** Its driver uses MSI-X. */
  messages?: boolean | undefined;
  /** Displays: what is at 0xc0000. */
  shadowRom?: ShadowRomDescription | undefined;
  children?: FunctionDescription[] | undefined;
}

const functionDescription: z.ZodType<FunctionDescription> = z.lazy(() =>
  z
    .strictObject({
      at: z.string().regex(/^[0-9a-f]{1,2}\.[0-7]$/i, "a place is device.function in hexadecimal, such as 00.0"),
      model: z.string().optional(),
      options: z.record(z.string(), z.unknown()).optional(),
      bridge: z.enum(["root-port", "upstream-port", "downstream-port", "pcie-pci-bridge", "pci-bridge"]).optional(),
      acs: z.boolean().optional(),
      multifunction: z.boolean().optional(),
      driver: z.string().min(1).optional(),
      hotplug: z.boolean().optional(),
      slot: z.number().int().min(0).max(8191).optional(),
      windows: windowsDescription.optional(),
      bars: barsDescription.optional(),
      command: z.number().int().min(0).max(0xffff).optional(),
      messages: z.boolean().optional(),
      shadowRom: shadowRomDescription.optional(),
      children: z.array(functionDescription).optional(),
    })
    .refine((f) => (f.model === undefined) !== (f.bridge === undefined), "a function has a model or is a bridge")
    .refine((f) => f.children === undefined || f.bridge !== undefined, "only bridges have children"),
);

const iommuUnit = z.strictObject({
  /** Functions, or bridges with all that is behind them. */
  scope: z.array(z.string().regex(/^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i)).min(1),
  /** Default: what the others have. */
  snoopControl: z.boolean().optional(),
});

const iommuDescription = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("spapr"),
    /** Bare metal (IODA2 hardware), or a guest of another hypervisor whose tables that one keeps. */
    platform: z.enum(["powernv", "pseries"]),
    /** Bytes of the default DMA window. Default 2 GiB on powernv, 1 GiB on pseries. */
    tce32Size: z.number().int().nonnegative().optional(),
    /** log2 of the IOMMU page sizes. */
    pageShifts: z.array(z.number().int().min(12).max(34)).optional(),
    /** Error handling of partitionable endpoints. Default: on powernv only. */
    eeh: z.boolean().optional(),
    /** Does a DMA that no window maps isolate the endpoint? Default: what `eeh` is. */
    freeze: z.boolean().optional(),
  }),
  z.strictObject({
    kind: z.literal("type1"),
    /** Bits of an IOVA. Default 48. */
    addressWidth: z.number().int().min(32).max(57).optional(),
    /** The IOMMU can make no-snoop DMA snoop. Default true. */
    snoopControl: z.boolean().optional(),
    /** Units in front of some functions, as far as they differ: see units.ts. */
    units: z.array(iommuUnit).optional(),
    /** Interrupts of devices are isolated from each other. Default true. */
    interruptRemapping: z.boolean().optional(),
    /** Nested translation exists. Default false. */
    nesting: z.boolean().optional(),
    /** The IOMMU marks pages that devices wrote, for iommufd. Default false. */
    dirtyTracking: z.boolean().optional(),
  }),
  z.strictObject({ kind: z.literal("none") }),
]);

/** How the kernel is built, where that differs from Debian's kernels. */
const kernelConfig = z.strictObject({
  /** CONFIG_IOMMUFD (6.12 only): /dev/iommu. Default false. */
  iommufd: z.boolean().optional(),
  /** CONFIG_VFIO_DEVICE_CDEV: /dev/vfio/devices/vfioX; needs iommufd. Default false. */
  deviceCdev: z.boolean().optional(),
  /** What serves /dev/vfio/vfio. Default "vfio"; "iommufd" is CONFIG_IOMMUFD_VFIO_CONTAINER. */
  container: z.enum(["vfio", "iommufd"]).optional(),
  /** CONFIG_VFIO_NOIOMMU, with enable_unsafe_noiommu_mode off or on at boot. Default: not built. */
  noiommu: z.enum(["off", "on"]).optional(),
});

const hostDescription = z.strictObject({
  /** Shown in messages. */
  name: z.string().min(1),
  arch: z.enum(["x86_64", "ppc64le"]),
  /** Processor of a ppc64le host. Default "power9": the one whose guests KVM can run here. */
  cpu: z.enum(["power8", "power9", "power10"]).optional(),
  /** Kernel whose rules apply. Default "6.12". */
  profile: z.enum(["6.12", "6.1", "4.12", "3.11"]).optional(),
  /** Bytes; default that of the architecture. */
  pageSize: z.union([z.literal(4096), z.literal(65536)]).optional(),
  /** KVM answers hypercalls on TCEs in compiled code first. Default: on 4.12, which had real mode. POWER only. */
  realMode: z.boolean().optional(),
  iommu: iommuDescription,
  kernelConfig: kernelConfig.optional(),
  /** Host drivers beyond vfio-pci, pci-stub, pcieport and nvme, with the class codes that they bind to. */
  drivers: z
    .array(z.strictObject({ name: z.string().min(1), class: z.number().int().min(0).max(0xffffff) }))
    .optional(),
  /** RLIMIT_MEMLOCK of processes, bytes; absent: unlimited. */
  memlock: z.number().nonnegative().optional(),
  /** Module parameters of vfio-pci. */
  vfioPci: z.strictObject({ nointxmask: z.boolean().optional() }).optional(),
  domains: z
    .array(
      z.strictObject({
        domain: z.number().int().min(0).max(0xffff),
        ...domainPlatform,
        devices: z.array(functionDescription),
      }),
    )
    .min(1),
});

/** A modelled host, as data. */
export type HostDescription = z.infer<typeof hostDescription>;

/** The description, checked. Throws ModelHostError MODEL_DESCRIPTION naming the place and the rule. */
export function checkDescription(value: unknown): HostDescription {
  const parsed = hostDescription.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const at = issue?.path.join(".") || "the description";
  throw new ModelHostError(`the host description is wrong at ${at}: ${issue?.message ?? "not a description"}`, {
    code: "MODEL_DESCRIPTION",
    details: { at, issues: parsed.error.issues },
    hint: "Compare it with a ready-made host: modelHostDescription(name) returns one.",
  });
}

/** The disk option of a storage device, checked. Throws ModelHostError MODEL_DISK. */
export function checkDisk(value: unknown): DiskDescription {
  const parsed = diskDescription.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ModelHostError("a disk is { kind: memory, size }, { kind: null, size } or { kind: file, path, readonly }", {
    code: "MODEL_DISK",
    details: { value },
    hint: "Sizes are whole sectors of 512 bytes.",
  });
}
