/**
 * What a hot reset of a function would hit, found in sysfs alone: the bridge above, slot or bus, everybody below.
 *
 * The kernel tells the same to whoever has the device open (hotResetInfo), but the question is asked most when the
 * device cannot be opened yet. Its rules: a bridge leads to the bus, none of those hit is known to be lost by a bus
 * reset, a slot whose hotplug driver can reset it goes before its bus; the walk takes a bridge and then what is below.
 * Source: pci_probe_reset_slot, pci_probe_reset_bus (drivers/pci/pci.c), vfio_pci_for_each_slot_or_bus.
 */
import type { Host } from "@minivmm/host";
import { compareBdf, formatBdf, parseBdf } from "@minivmm/pci/bdf";
import { isNoBusResetId } from "@minivmm/pci/quirks";
import { DEVICES, functionFacts, linkName, secondaryBus, textFile } from "./function-facts.ts";

export type ImpossibleReason = "ROOT_BUS" | "VIRTUAL_BUS" | "NO_BUS_RESET";

export interface ResetReach {
  /** How the neighbourhood would be reset; null: not at all. */
  readonly method: "slot" | "bus" | null;
  /** Why not; null when it is possible. */
  readonly impossible: ImpossibleReason | null;
  /** With NO_BUS_RESET: the function that a bus reset would lose. */
  readonly culprit: string | null;
  /** The bridge whose secondary bus is reset; null on a root bus. */
  readonly bridge: string | null;
  /** Everything hit, in the kernel's order; the function alone when nothing can be reset. */
  readonly functions: readonly string[];
}

/** One entry for each port that pciehp serves, named after the port: its slot has device 0 of the bus below. */
const PCIEHP = "/sys/bus/pci_express/drivers/pciehp";
const SLOTS = "/sys/bus/pci/slots";
/** Other hotplug drivers that can reset a slot; acpiphp and shpchp cannot. */
const RESETTING = new Set(["pnv_php", "s390_pci_hpc"]);

/** `bdf` in full, of a function that exists. */
export function resetReach(host: Host, bdf: string): ResetReach {
  const buses = new Buses(host, parseBdf(bdf).domain);
  const { bus } = parseBdf(bdf);
  const bridge = buses.bridgeTo(bus);
  const alone = { method: null, bridge, culprit: null, functions: [bdf] } as const;
  if (bridge === null) {
    return { ...alone, impossible: linkName(host, `${DEVICES}/${bdf}/physfn`) === null ? "ROOT_BUS" : "VIRTUAL_BUS" };
  }
  const slot = buses.walk(bus, parseBdf(bdf).device);
  const everything = buses.walk(bus);
  const lost = (names: readonly string[]) => names.find((each) => isLostByReset(host, each));
  if (lost([bridge]) === undefined) {
    const shared = { impossible: null, culprit: null, bridge };
    if (slotCanBeReset(host, bdf, bridge) && lost(slot) === undefined)
      return { ...shared, method: "slot", functions: slot };
    if (lost(everything) === undefined) return { ...shared, method: "bus", functions: everything };
  }
  return { ...alone, impossible: "NO_BUS_RESET", culprit: lost([bridge, ...everything]) ?? null };
}

/** The functions of one domain by bus, with the bridges' secondary bus numbers. */
class Buses {
  readonly #functions: readonly string[];
  readonly #secondary = new Map<string, number>();

  constructor(host: Host, domain: number) {
    this.#functions = names(host, DEVICES)
      .map(parseBdf)
      .filter((each) => each.domain === domain)
      .sort(compareBdf)
      .map(formatBdf);
    for (const name of this.#functions) {
      const bus = secondaryBus(host, name);
      if (bus !== null) this.#secondary.set(name, bus);
    }
  }

  bridgeTo(bus: number): string | null {
    for (const [name, secondary] of this.#secondary) {
      if (secondary === bus && parseBdf(name).bus < bus) return name;
    }
    return null;
  }

  /** Everything on a bus (or one slot of it) and below. Bus numbers grow downwards; what does not is not followed. */
  walk(bus: number, device?: number): string[] {
    return this.#functions.flatMap((name) => {
      const at = parseBdf(name);
      if (at.bus !== bus || (device !== undefined && at.device !== device)) return [];
      const below = this.#secondary.get(name);
      return below === undefined || below <= bus ? [name] : [name, ...this.walk(below)];
    });
  }
}

function isLostByReset(host: Host, bdf: string): boolean {
  const { vendor, device } = functionFacts(host, bdf);
  return vendor !== null && device !== null && isNoBusResetId(vendor, device);
}

/** `address` of a slot is "dddd:bb:dd" without the function. */
function slotCanBeReset(host: Host, bdf: string, bridge: string): boolean {
  const place = bdf.slice(0, bdf.lastIndexOf("."));
  if (place.endsWith(":00") && names(host, PCIEHP).some((service) => service.startsWith(`${bridge}:`))) return true;
  return names(host, SLOTS).some((slot) => {
    const driver = linkName(host, `${SLOTS}/${slot}/module`);
    return driver !== null && RESETTING.has(driver) && textFile(host, `${SLOTS}/${slot}/address`) === place;
  });
}

function names(host: Host, folder: string): string[] {
  const found = host.readdir(folder);
  return typeof found === "number" ? [] : found;
}
