// `minivmm reset plan` for people: who is swept in, whose groups they are, what is missing and what to do about it.
import type { FunctionFacts, GroupOwnership, HotResetSurvey } from "@minivmm/pci-hotreset";
import { className } from "../host/pci-list.ts";
import { columns } from "./columns.ts";
import type { Style } from "./style.ts";

const hex4 = (value: number | null): string => value?.toString(16).padStart(4, "0") ?? "?";
const titled = (...titles: string[]) => titles.map((title) => ({ title }));

/** "Bus reset below 0000:00:02.0 for 0000:02:00.0 (this machine)". */
export function heading(title: string, { bdf, reach }: HotResetSurvey): string {
  if (reach.method === null) return `No hot reset of ${bdf} (${title})`;
  const kind = reach.method === "slot" ? "Slot" : "Bus";
  return `${kind} reset below ${reach.bridge} for ${bdf} (${title})`;
}

/** Address, ids, class: the first columns of every list of functions. */
export function identity({ bdf, vendor, device, classCode }: FunctionFacts): string[] {
  return [bdf, `${hex4(vendor)}:${hex4(device)}`, classCode === null ? "?" : className(classCode)];
}

/** Text with a final newline. */
export function renderPlan(title: string, survey: HotResetSurvey, style: Style): string {
  const { functions, groups, obstacles } = survey;
  const lines = [style.bold(heading(title, survey)), "", ...functionTable(survey, style)];
  if (survey.reach.method !== null && groups.length > 0) {
    const rows = groups.map((group) => [String(group.id), group.node, stateOf(group)]);
    const [header = "", ...rest] = columns(titled("GROUP", "NODE", "STATE"), rows);
    lines.push("", style.bold(header), ...rest);
  }
  if (obstacles.length > 0) lines.push("", ...missingList(survey, style));
  lines.push("", verdict(survey, functions.length, style));
  return `${lines.join("\n")}\n`;
}

function functionTable(survey: HotResetSurvey, style: Style): string[] {
  const shape = titled("ADDRESS", "IDS", "CLASS", "DRIVER", "GROUP", "OWN RESET", "FOR THIS RESET");
  const remarks = survey.functions.map((facts) => remark(survey, facts));
  const rows = survey.functions.map((facts, i) => [
    ...identity(facts),
    facts.driver ?? "-",
    facts.group === null ? "-" : String(facts.group),
    ownReset(facts.resetMethods),
    remarks[i] as string,
  ]);
  const [header = "", ...lines] = columns(shape, rows);
  const paint = (line: string, i: number) => (remarks[i] === "ready" ? style.good(line) : style.bad(line));
  return [style.bold(header), ...lines.map(paint)];
}

function ownReset(methods: readonly string[] | null): string {
  if (methods === null) return "yes";
  return methods.length === 0 ? "none" : methods.join(" ");
}

/** A few words on one function; the list below says it in full. */
function remark({ obstacles }: HotResetSurvey, { bdf, group, driver }: FunctionFacts): string {
  const own = obstacles.find((each) => each.bdf === bdf);
  const ofGroup = obstacles.find(
    (each) => each.bdf !== bdf && each.group !== null && GROUP_CODES.has(each.code) && each.group === group,
  );
  switch ((own ?? ofGroup)?.code) {
    case undefined:
      return "ready";
    case "ROOT_BUS":
    case "VIRTUAL_BUS":
      return "no bridge above it";
    case "NO_BUS_RESET":
      return "survives no bus reset";
    case "BRIDGE":
      return "a bridge";
    case "VIRTUAL_FUNCTION":
      return "a virtual function";
    case "NO_GROUP":
      return "in no IOMMU group";
    case "NOT_BOUND":
      return "bind it to vfio-pci";
    case "HELD":
      return `held by host driver ${driver}`;
    case "NOT_VIABLE":
      return "group not viable";
    case "GROUP_BUSY":
      return "group open elsewhere";
    case "PERMISSION":
      return "no permission for its group";
    default:
      return "group cannot be opened";
  }
}

/** Obstacles that stand in the way of every function of a group. */
const GROUP_CODES: ReadonlySet<string> = new Set(["NOT_VIABLE", "GROUP_BUSY", "PERMISSION", "NO_NODE"]);

function stateOf({ state, viable, noiommu }: GroupOwnership): string {
  const use = viable === false ? ", not viable" : viable === null ? "" : ", viable";
  const words = {
    ours: `ours${use}`,
    free: `free${use}`,
    busy: "open elsewhere",
    denied: "no permission",
    absent: "no node",
    failed: "cannot be opened",
  }[state];
  return noiommu ? `${words} (no IOMMU)` : words;
}

function missingList({ reach, obstacles }: HotResetSurvey, style: Style): string[] {
  return [
    style.bold(reach.method === null ? "WHY" : "MISSING"),
    ...obstacles.flatMap(({ message, remedy, commands }, index) => {
      const number = `${index + 1}.`.padStart(3);
      return [
        `${number} ${message}`,
        `    ${style.accent(remedy)}`,
        ...commands.map((each) => `      ${style.dim(each)}`),
      ];
    }),
  ];
}

function verdict({ reach, obstacles }: HotResetSurvey, count: number, style: Style): string {
  if (reach.method === null) return style.bad("impossible");
  if (obstacles.length > 0)
    return style.bad(`refused: ${obstacles.length === 1 ? "1 thing is" : `${obstacles.length} things are`} missing`);
  return style.good(`accepted: ${count === 1 ? "1 function" : `${count} functions`} would be reset`);
}
