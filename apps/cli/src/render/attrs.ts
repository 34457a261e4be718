// `minivmm attrs` for people: the VM in two lines, the regions with a column for each type a guest can ask for, and a
// paragraph on each region.
import type { AttrsReport, RegionReport } from "../describe/attrs-report.ts";
import { kvmDmaWords } from "../describe/kvm-dma-words.ts";
import { formatSize } from "../options/size.ts";
import { columns } from "./columns.ts";
import type { Style } from "./style.ts";

const VENDORS = { intel: "Intel", amd: "AMD", power: "POWER (radix)" } as const;

/** Text with a final newline. */
export function renderAttrs(report: AttrsReport, style: Style): string {
  const { regions, notes } = report;
  const requests = Object.keys(regions[0]?.types ?? {});
  const running = report.now !== null;
  const titles = ["REGION", ...(running ? ["ADDRESS"] : []), "SIZE", "KIND", "ACCESS", ...requests];
  const shape = titles.map((title) => ({ title }));
  const rows = regions.map((region) => [
    region.name,
    ...(running ? [addressOf(region)] : []),
    formatSize(region.bytes),
    kindOf(region),
    region.access,
    ...requests.map((request) => region.types[request]?.join(" or ") ?? "-"),
  ]);
  const [header = "", ...lines] = columns(shape, rows);
  const details = regions.flatMap((region) => [
    "",
    style.bold(region.name),
    ...columns(
      ["", ""].map((title) => ({ title })),
      [
        ["pinned by", region.pinnedBy],
        ["DMA snoops", region.dmaSnoops],
        ["why", region.explanation],
        ...(region.now?.details ?? []),
      ],
      "  ",
    ),
  ]);
  const remarks = notes.length === 0 ? [] : ["", ...notes.map((note) => style.accent(`note: ${note}`))];
  const guest = requests.length === 0 ? "" : style.dim("columns: what the guest asks for; cells: what it gets");
  return `${[...headOf(report), "", style.bold(header), ...lines, guest, ...details, ...remarks].join("\n")}\n`;
}

function headOf({ machine, runnable, host, cpu, kvm, containers, now }: AttrsReport): string[] {
  const vendor = `${VENDORS[cpu.vendor]}${cpu.assumed ? " (assumed)" : ""}`;
  const where = cpu.accel === "kvm" ? "in KVM" : "in software";
  const state = now !== null ? " (running)" : runnable ? "" : " (described only)";
  const lines = [`machine ${machine}${state} on ${host}: ${vendor}, CPU ${where}`];
  if (kvm !== null) {
    const unknown = now === null ? "not known before the start" : "not known";
    const count = kvm.nonCoherentDma === null ? unknown : String(kvm.nonCoherentDma);
    const assumed = kvm.rulesAssumed ? ", assumed" : "";
    lines.push(`KVM's rules of Linux ${kvm.rules}${assumed}; count of non-coherent DMA: ${count}`);
    if (containers.length > 0) lines.push(kvmDmaWords(kvm.dma));
  }
  return [...lines, ...(now ?? [])];
}

function addressOf({ now }: RegionReport): string {
  const address = now?.address ?? null;
  return address === null ? "-" : `0x${address.toString(16)}`;
}

function kindOf({ memory, addressBits, prefetchable }: RegionReport): string {
  if (memory === "ram") return "RAM";
  if (memory === "port") return "ports";
  if (memory === "rom") return "ROM";
  return `${addressBits}-bit${prefetchable ? ", prefetchable" : ""}`;
}
