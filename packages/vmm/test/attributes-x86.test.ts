// Memory types of x86 guests: every cell of the manuals' tables, and what Linux 6.12 and 6.1 put into EPT entries.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  AMD_COMBINED_BY_MTRR,
  AMD_GUEST_BY_HOST_PAT,
  amdType,
  codeOf,
  combineEpt,
  combineNested,
  EPT_IGNORE_PAT,
  EPT_TYPE_SHIFT,
  eptAttributes,
  INTEL_MTRR_BY_PAT,
  intelType,
  MTRR_TYPES,
  type MtrrType,
  PAT_AFTER_RESET,
  PAT_OF_LINUX,
  PAT_TYPES,
  type PatType,
  patEntry,
  typeOfCode,
} from "../src/attributes/index.ts";
import { property } from "./property.ts";

/** Rows of a table as text: the row's name, then its cells. */
function cells(text: string): { row: string; column: string; cell: string }[] {
  const [head = [], ...rows] = text
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  return rows.flatMap(([row = "", ...values]) =>
    values.map((cell, index) => ({ row, column: head[index + 1] as string, cell })),
  );
}

/** Intel SDM volume 3, 11.5.2.2, in the manual's order of columns. */
const SDM = cells(`
  MTRR UC UC- WC WT WB WP
  UC   UC UC  WC UC UC UC
  WC   UC WC  WC UC WC UC
  WT   UC UC  WC WT WT WP
  WB   UC UC  WC WT WB WP
  WP   UC WC  WC WT WP WP
`);

/** AMD APM volume 2, 15.25.8, first table: guest PAT down, host PAT across. */
const APM_PAT = cells(`
  guest UC UC- WC WP  WT  WB
  UC    UC UC  UC UC  UC  UC
  UC-   UC UC- WC UC  UC  UC
  WC    WC WC  WC WC+ WC+ WC+
  WP    UC UC  UC WP  UC  WP
  WT    UC UC  UC UC  WT  WT
  WB    UC UC  WC WP  WT  WB
`);

/** The second table there: what came out above down, host MTRR across. */
const APM_MTRR = cells(`
  out UC WC WP  WT  WB
  UC  UC CD CD  CD  CD
  UC- UC WC CD  CD  CD
  WC  WC WC WC  WC  WC
  WC+ WC WC WC+ WC+ WC+
  WP  UC CD WP  CD  WP
  WT  UC CD CD  WT  WT
  WB  UC WC WP  WT  WB
`);

const anyPat = fc.constantFrom(...PAT_TYPES);
const anyMtrr = fc.constantFrom(...MTRR_TYPES);

describe("vmm attributes: the PAT", () => {
  it("has eight entries of known encodings after reset and under Linux", () => {
    const entries = (pat: bigint): (PatType | undefined)[] =>
      Array.from({ length: 8 }, (_, index) => patEntry(Number(pat >> 32n), Number(pat & 0xffff_ffffn), index));
    expect(entries(PAT_AFTER_RESET)).toEqual(["WB", "WT", "UC-", "UC", "WB", "WT", "UC-", "UC"]);
    expect(entries(PAT_OF_LINUX)).toEqual(["WB", "WC", "UC-", "UC", "WB", "WP", "UC-", "WT"]);
    expect([2, 3, 8].map(typeOfCode)).toEqual([undefined, undefined, undefined]);
    for (const type of PAT_TYPES) expect(typeOfCode(codeOf(type))).toBe(type);
  });
});

describe("vmm attributes: Intel", () => {
  it.each(SDM)("MTRR or EPT $row with PAT $column is $cell", ({ row, column, cell }) => {
    expect(INTEL_MTRR_BY_PAT[row as MtrrType][column as PatType]).toBe(cell);
    expect(combineEpt(codeOf(row as MtrrType) << EPT_TYPE_SHIFT, column as PatType)).toBe(cell);
  });

  it("the manual's table has a cell for each pair", () => {
    expect(SDM).toHaveLength(MTRR_TYPES.length * PAT_TYPES.length);
  });

  property("ignore-PAT leaves the EPT type alone", [anyMtrr, anyPat], (type, pat) => {
    expect(combineEpt((codeOf(type) << EPT_TYPE_SHIFT) | EPT_IGNORE_PAT, pat)).toBe(type);
  });

  const switches = { nonCoherent: fc.boolean(), ignoreGuestPat: fc.boolean(), cdNwCleared: fc.boolean() };
  const state = fc.record({ rules: fc.constantFrom("6.12" as const, "6.1" as const), ...switches });
  const page = { guestMtrr: anyMtrr, cacheDisabled: fc.boolean() };

  property(
    "a host device page is WC for a guest's WC and UC for all else, whatever KVM knows",
    [state, fc.record({ hostMmio: fc.constant(true), ...page }), anyPat],
    (kvm, bar, pat) => {
      expect(eptAttributes(bar, kvm)).toBe(0);
      expect(intelType(bar, pat, kvm)).toBe(pat === "WC" ? "WC" : "UC");
    },
  );

  property(
    "RAM of a coherent VM is WB, unless 6.12 has had its quirk taken away",
    [state, fc.record({ hostMmio: fc.constant(false), ...page }), anyPat],
    (kvm, ram, pat) => {
      const coherent = { ...kvm, nonCoherent: false };
      const counts = kvm.rules === "6.12" && !kvm.ignoreGuestPat;
      expect(intelType(ram, pat, coherent)).toBe(counts ? INTEL_MTRR_BY_PAT.WB[pat] : "WB");
    },
  );

  property(
    "RAM with non-coherent DMA: 6.12 takes the guest's PAT only, whatever its MTRRs and CR0.CD say",
    [anyMtrr, anyPat, fc.boolean(), fc.boolean()],
    (guestMtrr, pat, cacheDisabled, ignoreGuestPat) => {
      const ram = { hostMmio: false, guestMtrr, cacheDisabled };
      const kvm = { rules: "6.12", nonCoherent: true, ignoreGuestPat } as const;
      expect(eptAttributes(ram, kvm)).toBe(0x30);
      expect(intelType(ram, pat, kvm)).toBe(INTEL_MTRR_BY_PAT.WB[pat]);
    },
  );

  property("RAM with non-coherent DMA: 6.1 takes MTRR and PAT", [anyMtrr, anyPat], (guestMtrr, pat) => {
    const kvm = { rules: "6.1", nonCoherent: true } as const;
    expect(intelType({ hostMmio: false, guestMtrr }, pat, kvm)).toBe(INTEL_MTRR_BY_PAT[guestMtrr][pat]);
  });

  it.each(PAT_TYPES)("6.1 with CR0.CD and non-coherent DMA: PAT %s does not count", (pat) => {
    const ram = { hostMmio: false, guestMtrr: "WC", cacheDisabled: true } as const;
    const kvm = { rules: "6.1", nonCoherent: true } as const;
    expect(intelType(ram, pat, kvm)).toBe("WB");
    expect(eptAttributes(ram, { ...kvm, cdNwCleared: false })).toBe(EPT_IGNORE_PAT);
    expect(intelType(ram, pat, { ...kvm, cdNwCleared: false })).toBe("UC");
  });
});

describe("vmm attributes: AMD", () => {
  it.each(APM_PAT)("guest PAT $row with host PAT $column is $cell", ({ row, column, cell }) => {
    expect(AMD_GUEST_BY_HOST_PAT[row as PatType][column as PatType]).toBe(cell);
  });

  it.each(APM_MTRR)("$row with host MTRR $column is $cell", ({ row, column, cell }) => {
    expect(AMD_COMBINED_BY_MTRR[row as PatType][column as MtrrType]).toBe(cell);
  });

  it("the manual's tables have a cell for each pair", () => {
    expect([APM_PAT.length, APM_MTRR.length]).toEqual([36, 35]);
  });

  property("a result is what both tables say one after the other", [anyPat, anyPat, anyMtrr], (guest, host, mtrr) => {
    const first = APM_PAT.find(({ row, column }) => row === guest && column === host)?.cell;
    const second = APM_MTRR.find(({ row, column }) => row === first && column === mtrr)?.cell;
    expect(combineNested(guest, host, mtrr)).toBe(second);
  });

  it("under KVM a BAR is WC for a guest's WC and UC for all else; RAM keeps snooping", () => {
    expect(PAT_TYPES.map((pat) => amdType(true, pat))).toEqual(["UC", "UC", "WC", "UC", "UC", "UC"]);
    expect(PAT_TYPES.map((pat) => amdType(false, pat))).toEqual(["CD", "CD", "WC+", "WT", "WP", "WB"]);
  });
});
