// `minivmm devices` for people: one line a function, and what stands in the way of giving it to a guest.
import type { PciListEntry, Viability } from "../host/pci-list.ts";
import { columns } from "./columns.ts";
import type { Style } from "./style.ts";

const hex4 = (value: number): string => value.toString(16).padStart(4, "0");

function remark({ viability, blockedBy, driver, address }: PciListEntry): string {
  switch (viability) {
    case "ready":
      return driver === "vfio-pci" ? "ready for a guest" : "not on vfio-pci";
    case "free":
      return "bind it to vfio-pci";
    case "held":
      return blockedBy.some((member) => member.startsWith(address))
        ? `held by host driver ${driver}`
        : `group held: ${blockedBy.join(", ")}`;
    case "bridge":
      return "";
    case "no IOMMU":
      return "in no IOMMU group";
  }
}

const PAINT: Readonly<Record<Viability, (style: Style, text: string) => string>> = {
  ready: (style, text) => style.good(text),
  free: (_style, text) => text,
  held: (style, text) => style.bad(text),
  bridge: (style, text) => style.dim(text),
  "no IOMMU": (style, text) => style.dim(text),
};

/** Text with a final newline. */
export function renderDevices(title: string, entries: readonly PciListEntry[], style: Style): string {
  if (entries.length === 0) return `${title} has no PCI devices\n`;
  const shape = ["ADDRESS", "IDS", "CLASS", "DRIVER", "GROUP", "FOR A GUEST"].map((name) => ({ title: name }));
  const rows = entries.map((entry) => [
    entry.address,
    `${hex4(entry.vendor)}:${hex4(entry.device)}`,
    entry.className,
    entry.driver ?? "-",
    entry.group === null ? "-" : String(entry.group),
    remark(entry),
  ]);
  const [header = "", ...lines] = columns(shape, rows);
  const painted = lines.map((line, index) => PAINT[(entries[index] as PciListEntry).viability](style, line));
  return `${[style.bold(header), ...painted].join("\n")}\n`;
}
