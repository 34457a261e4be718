// `minivmm memlock` for people: each charge in order, then need, limit, verdict and what to do.
import type { LockItem } from "@minivmm/vmm/attributes";
import type { MemlockReport, Verdict } from "../describe/memlock-report.ts";
import { formatSize } from "../options/size.ts";
import { columns } from "./columns.ts";
import type { Style } from "./style.ts";

const VERDICTS: Readonly<Record<Verdict, string>> = {
  fits: "it fits",
  "fits-start": "it starts, but what the guest may add does not fit",
  "too-little": "it does not fit: the VM would not start",
  "cannot-start": "the VM would not start, for another reason",
};

const bytesOf = (bytes: number): string => (bytes === Number.POSITIVE_INFINITY ? "unlimited" : formatSize(bytes));
const rowOf = ({ what, bytes }: LockItem): string[] => [bytes < 0 ? `-${bytesOf(-bytes)}` : bytesOf(bytes), what];

/** Text with a final newline. */
export function renderMemlock(report: MemlockReport, style: Style): string {
  const { start, later, needBytes, worstBytes, limit, verdict, remedies, notes, exact } = report;
  const shape = [{ title: "", align: "right" as const }, { title: "" }];
  const kind = report.runnable ? "" : " (described only)";
  const lines = [`machine ${report.machine}${kind}, ${bytesOf(report.memoryBytes)}, on ${report.host}`, ""];
  lines.push(style.bold("charged before the guest starts"));
  lines.push(...(start.length === 0 ? ["  nothing"] : columns(shape, start.map(rowOf), "  ")));
  if (later.length > 0) lines.push(style.bold("what the guest may add"), ...columns(shape, later.map(rowOf), "  "));
  const paint = verdict === "fits" ? style.good : verdict === "fits-start" ? style.accent : style.bad;
  const already = limit.locked ? `, ${bytesOf(limit.locked)} of it in use` : "";
  const facts = [
    ["need", `${bytesOf(needBytes)}${exact ? "" : " (as far as can be known)"}`],
    ...(worstBytes > needBytes ? [["at most", bytesOf(worstBytes)]] : []),
    ["limit", `${bytesOf(limit.soft)}${already}${limit.ipcLock ? "; CAP_IPC_LOCK: it does not count" : ""}`],
    ["verdict", paint(VERDICTS[verdict])],
    ...remedies.map((remedy, index) => [index === 0 ? "remedy" : "or", remedy]),
  ];
  lines.push("", ...columns([{ title: "" }, { title: "" }], facts));
  if (notes.length > 0) lines.push("", ...notes.map((note) => style.accent(`note: ${note}`)));
  return `${lines.join("\n")}\n`;
}
