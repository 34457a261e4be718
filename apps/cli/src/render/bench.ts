// The mapping benchmark for people: a table for each number of pages a hypercall, the ways side by side.
import type { WayResult } from "../bench/tce.ts";
import { columns } from "./columns.ts";
import { grouped } from "./numbers.ts";
import type { Style } from "./style.ts";

const TITLES: Readonly<Record<WayResult["way"], string>> = {
  off: "off: each call leaves KVM (-enable-kvm, vfio-accel=off)",
  virtual: "virtual mode: the kernel answers (realmode=off)",
  real: "real mode: answered where the guest runs",
};
const right = (title: string) => ({ title, align: "right" as const });

/** Text with a final newline. */
export function renderBench(results: readonly WayResult[], style: Style): string {
  const lines: string[] = [];
  const sizes = [...new Set(results.flatMap(({ parts }) => parts.map(({ pages }) => pages)))];
  for (const pages of sizes) {
    lines.push(style.bold(`${pages} ${pages === 1 ? "page" : "pages"} a call`));
    const rows = results.map(({ way, parts, unavailable }) => {
      const part = parts.find((each) => each.pages === pages);
      if (part === undefined) return [TITLES[way], unavailable ?? "", "", ""];
      return [
        TITLES[way],
        grouped(part.callsPerSecond),
        grouped(part.megabytesPerSecond),
        `${part.ratio.toFixed(2)} x`,
      ];
    });
    const shape = [{ title: "" }, right("calls/s"), right("MB/s"), right("speed-up")];
    lines.push(...columns(shape, rows, "  "), "");
  }
  lines.push(style.bold("TCE hypercalls of a round by stage"));
  const rows = results.map(({ way, served }) => [
    TITLES[way],
    grouped(served.realMode),
    grouped(served.virtualMode),
    grouped(served.userSpace),
  ]);
  const shape = [{ title: "" }, right("real mode"), right("virtual mode"), right("user space")];
  lines.push(...columns(shape, rows, "  "));
  return `${lines.join("\n")}\n`;
}
