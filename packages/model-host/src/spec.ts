// @minivmm/model-host/spec: the text form of a host, as command lines write it: `power9`, or
// `model:power9,disk=FILE,memlock=1G`. It loads no model.
import { ModelHostError } from "./error.ts";
import type { Variation } from "./variation.ts";

export { modelHostNames } from "./catalog/names.ts";

export interface ModelSpec extends Variation {
  /** Name of a ready-made host. */
  name: string;
  /** Image file behind the disk that guests get. */
  disk?: string;
  /** RLIMIT_MEMLOCK, bytes. */
  memlock?: number;
  /** Kernel whose rules apply. */
  profile?: "6.12" | "6.1" | "4.12" | "3.11";
  /** Base page size, bytes. */
  pageSize?: 4096 | 65536;
}

const PROFILES = ["6.12", "6.1", "4.12", "3.11"] as const;
const OPTIONS = [
  "disk",
  "memlock",
  "profile",
  "pagesize",
  "iommu",
  "aw",
  "intremap",
  "snoop-control",
  "nointxmask",
  "realmode",
];
/** What VT-d tables of 3, 4 and 5 levels translate. */
const WIDTHS = ["39", "48", "57"];
const SWITCH = { on: true, off: false } as const;
const PREFIX = "model:";
const UNITS: Record<string, number> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** Throws ModelHostError MODEL_OPTION for an unknown option or a bad value. A comma in a value is written twice. */
export function parseModelSpec(text: string): ModelSpec {
  const [name = "", ...rest] = splitOptions(text.startsWith(PREFIX) ? text.slice(PREFIX.length) : text);
  const spec: ModelSpec = { name };
  for (const part of rest) {
    const equals = part.indexOf("=");
    const key = equals < 0 ? part : part.slice(0, equals);
    const value = equals < 0 ? "" : part.slice(equals + 1);
    if (key === "disk" && value !== "") spec.disk = value;
    else if (key === "memlock") spec.memlock = parseSize(value, part);
    else if (key === "profile" && isProfile(value)) spec.profile = value;
    else if (key === "pagesize" && (value === "4K" || value === "64K")) spec.pageSize = value === "4K" ? 4096 : 65536;
    else if (key === "iommu" && value === "none") spec.iommu = "none";
    else if (key === "aw" && WIDTHS.includes(value)) spec.addressWidth = Number(value);
    else if (key === "intremap" && value in SWITCH) spec.interruptRemapping = SWITCH[value as keyof typeof SWITCH];
    else if (key === "snoop-control" && value in SWITCH) spec.snoopControl = SWITCH[value as keyof typeof SWITCH];
    else if (key === "realmode" && value in SWITCH) spec.realMode = SWITCH[value as keyof typeof SWITCH];
    else if (key === "nointxmask" && equals < 0) spec.nointxmask = true;
    else
      throw badOption(part, OPTIONS.includes(key) ? `"${value}" is no value of ${key}` : `there is no option "${key}"`);
  }
  return spec;
}

function splitOptions(text: string): string[] {
  const parts: string[] = [];
  let current = "";
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== ",") current += text[i];
    else if (text[i + 1] === ",") current += text[i++];
    else {
      parts.push(current);
      current = "";
    }
  }
  return [...parts, current];
}

function isProfile(value: string): value is (typeof PROFILES)[number] {
  return (PROFILES as readonly string[]).includes(value);
}

function parseSize(value: string, part: string): number {
  if (value === "unlimited") return Number.POSITIVE_INFINITY;
  const match = /^(\d+)([KMGT]?)$/i.exec(value);
  if (!match) throw badOption(part, `"${value}" is no size`);
  return Number(match[1]) * (UNITS[(match[2] ?? "").toUpperCase()] as number);
}

function badOption(part: string, why: string): ModelHostError {
  return new ModelHostError(`the host option "${part}" is wrong: ${why}`, {
    code: "MODEL_OPTION",
    details: { option: part },
    hint: "Options are disk=FILE, memlock=SIZE (K, M, G or unlimited), profile=6.12|6.1|4.12|3.11, pagesize=4K|64K, and on x86 iommu=none, aw=39|48|57, intremap=on|off, snoop-control=on|off and nointxmask, on POWER realmode=on|off.",
  });
}
