// What a VM did, for people: boot timeline, instructions, TCE calls by kind and stage, DMA requests, interrupts.
// The same figures as data are vm.summary() itself.
import type { MachineSummary, PcSummary, PseriesSummary, VmSummary } from "@minivmm/vmm";
import { kvmDmaWords } from "../describe/kvm-dma-words.ts";
import { startMs } from "../pc/start-time.ts";
import { coherencyLines } from "./coherency.ts";
import { columns } from "./columns.ts";
import { duration, grouped, large } from "./numbers.ts";
import type { Style } from "./style.ts";

const STAGE_TITLES: Readonly<Record<string, string>> = {
  realMode: "real mode",
  virtualMode: "virtual mode",
  userSpace: "user space",
};

const WINDOW_TITLES: Readonly<Record<PseriesSummary["windows"][number]["use"], string>> = {
  vio: "VIO devices",
  emulated: "emulated PCI devices",
  vfio: "passed-through devices",
};

const right = (title: string) => ({ title, align: "right" as const });

/** Text of a summary, without a final newline. */
export function renderSummary(summary: VmSummary, style: Style): string {
  const sections = summary.machine === "pc" ? pcSections(summary) : pseriesSections(summary);
  return sections
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => [style.bold(title), ...lines].join("\n"))
    .join("\n\n");
}

type Section = [title: string, lines: string[]];

function pseriesSections(summary: PseriesSummary): Section[] {
  return [
    ["Timeline", timeline(summary)],
    ["Guest", guest(summary)],
    ["TCE hypercalls", [...tceCalls(summary), ...tceWindows(summary)]],
    ["DMA mapping", dma(summary)],
    ["Devices", [...deviceLines(summary), ...vioLines(summary)]],
    ["IOMMU check", coherencyLines(summary)],
    ["Interrupts", counts(summary.interrupts)],
  ];
}

function pcSections(summary: PcSummary): Section[] {
  return [
    ["Timeline", [...timeline(summary), ...firstInstruction(summary)]],
    ["Guest", pcGuest(summary)],
    ["IOMMU domains", domainLines(summary)],
    ["Devices", deviceLines(summary)],
    ["IOMMU check", coherencyLines(summary)],
    ["Interrupts from this program", counts(summary.interrupts)],
  ];
}

function timeline({ timeline: marks }: MachineSummary): string[] {
  const rows = marks.map(({ name, ms, instructions }) => [
    name,
    duration(ms),
    instructions === 0 ? "" : `${large(instructions)} instructions`,
  ]);
  return columns([{ title: "" }, right(""), right("")], rows, "  ");
}

function firstInstruction({ timeline: marks }: PcSummary): string[] {
  const ms = startMs(marks);
  return ms === undefined ? [] : [`  first guest instruction ${duration(ms)} after Node was up`];
}

function guest({ instructions, mips, runMs, idleMs, exits, rtasCalls, kernelHypercalls }: PseriesSummary): string[] {
  const idle = runMs > 0 ? Math.round((100 * Math.min(idleMs, runMs)) / runMs) : 0;
  const rtas = Object.values(rtasCalls).reduce((sum, count) => sum + count, 0);
  const bursts = exits.burst ? `${grouped(exits.burst)} combined writes, ` : "";
  const rows = [
    ["instructions", `${large(instructions)} at ${mips.toFixed(1)} MIPS`],
    ["time", `${duration(runMs)}, ${idle}% of it idle`],
    [
      "exits",
      `${grouped(exits.hypercall ?? 0)} hypercalls, ${grouped(exits.mmio ?? 0)} MMIO, ${bursts}${grouped(rtas)} RTAS calls`,
    ],
  ];
  if (kernelHypercalls !== undefined) {
    const answered = Object.values(kernelHypercalls).reduce((sum, count) => sum + count, 0);
    rows.push(["in KVM", `${grouped(answered)} hypercalls answered without an exit`]);
  }
  return columns([{ title: "" }, { title: "" }], rows, "  ");
}

function tceCalls({ tce }: PseriesSummary): string[] {
  const stages = Object.entries(tce) as [string, Readonly<Record<string, number>>][];
  const kinds = [...new Set(stages.flatMap(([, calls]) => Object.keys(calls)))];
  const rows = kinds
    .filter((kind) => stages.some(([, calls]) => (calls[kind] ?? 0) > 0))
    .map((kind) => [kind, ...stages.map(([, calls]) => grouped(calls[kind] ?? 0))]);
  if (rows.length === 0) return [];
  return columns([{ title: "" }, ...stages.map(([stage]) => right(STAGE_TITLES[stage] ?? stage))], rows, "  ");
}

/** Where each window's calls are answered, and under KVM why not there. One line for windows that are alike. */
function tceWindows({ windows, accelerator, tce }: PseriesSummary): string[] {
  const calls = Object.values(tce).flatMap((stage) => Object.values(stage as Readonly<Record<string, number>>));
  if (calls.every((count) => count === 0)) return [];
  if (accelerator === "soft") return ["  all in user space: not accelerated without -enable-kvm"];
  const alike = new Map<string, string[]>();
  for (const { use, inKernel, reason, liobn } of windows) {
    const where = inKernel ? "answered by KVM" : `not accelerated: ${reason ?? "no reason is known"}`;
    const line = `${WINDOW_TITLES[use]}: ${where}`;
    alike.set(line, [...(alike.get(line) ?? []), `0x${liobn.toString(16)}`]);
  }
  return [...alike].map(([line, liobns]) => `  ${line} (${liobns.join(", ")})`);
}

function dma({ dma: containers }: PseriesSummary): string[] {
  const lines: string[] = [];
  for (const each of containers) {
    if (each.mapCalls + each.unmapCalls + each.windowsCreated === 0) continue;
    const rows = [
      ["map", grouped(each.mapCalls), `${grouped(each.mapErrors)} refused`],
      ["unmap", grouped(each.unmapCalls), `${grouped(each.unmapErrors)} refused`],
      ["windows", grouped(each.windowsCreated), `${grouped(each.windowsRemoved)} removed`],
    ];
    lines.push(...columns([{ title: "" }, right(""), right("")], rows, "  "));
    lines.push(...each.messages.map((message) => `  ! ${message}`));
  }
  return lines;
}

function pcGuest({ cpus, runMs, exits, combined, unclaimed, problems }: PcSummary): string[] {
  const kinds = Object.entries(exits).map(([kind, count]) => `${grouped(count)} ${kind}`);
  const rows = [
    ["CPUs", `${cpus}, in KVM`],
    ["time", duration(runMs)],
    ["exits", kinds.join(", ")],
    ...(combined && combined.stores > 0
      ? [
          [
            "combined",
            `${grouped(combined.stores)} stores to write-combining memory became ${grouped(combined.bursts)}`,
          ],
        ]
      : []),
    ["unclaimed", `${grouped(unclaimed.ports)} port accesses, ${grouped(unclaimed.memory)} memory accesses`],
  ];
  return [...columns([{ title: "" }, { title: "" }], rows, "  "), ...problems.map((problem) => `  ! ${problem}`)];
}

function domainLines({ domains, kvmDma }: PcSummary): string[] {
  const lines = domains.map(({ name, functions, mappedBytes, enforcesSnoop }) => {
    const snoop = enforcesSnoop === null ? "" : enforcesSnoop ? ", DMA always snoops" : ", DMA may not snoop";
    return `  ${name}: ${functions.join(", ")}; ${grouped(mappedBytes / 2 ** 20)} MiB of RAM pinned${snoop}`;
  });
  return kvmDma === undefined || lines.length === 0 ? lines : [...lines, `  ${kvmDmaWords(kvmDma)}`];
}

function deviceLines({ devices }: MachineSummary): string[] {
  return devices.flatMap(({ name, slot, problems, directBytes }) => [
    `  ${name} in slot ${slot}${directBytes ? `, ${grouped(directBytes)} bytes of BARs without exits` : ""}`,
    ...problems.map((problem) => `  ! ${problem}`),
  ]);
}

function vioLines({ vio }: PseriesSummary): string[] {
  return vio.map(
    ({ name, unit, commands, bytesRead, bytesWritten }) =>
      `  ${name} at unit 0x${unit.toString(16)}: ${grouped(commands)} SCSI commands, ${grouped(bytesRead)} bytes read, ${grouped(bytesWritten)} written`,
  );
}

function counts(record: Readonly<Record<string, number>>): string[] {
  const rows = Object.entries(record)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => [name, grouped(count)]);
  return columns([{ title: "" }, right("")], rows, "  ");
}
