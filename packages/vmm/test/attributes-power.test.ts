// Storage attributes of POWER guests, and the one question for all machines.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  effectiveType,
  type GuestCpu,
  HPTE_G,
  HPTE_I,
  HPTE_M,
  HPTE_W,
  hashWimg,
  RADIX_ATTRIBUTES,
  RADIX_HOST_BY_GUEST,
  radixAttribute,
  radixBits,
  radixType,
  requestsOf,
  VFIO_BAR_ATTRIBUTE,
} from "../src/attributes/index.ts";
import { property } from "./property.ts";

const anyAttribute = fc.constantFrom(...RADIX_ATTRIBUTES);
const WIMG = HPTE_W | HPTE_I | HPTE_M | HPTE_G;

describe("vmm attributes: POWER radix", () => {
  it("has the encodings of bits 0x30 of an entry", () => {
    expect(RADIX_ATTRIBUTES.map(radixBits)).toEqual([0x00, 0x10, 0x30, 0x20]);
    for (const each of RADIX_ATTRIBUTES) expect(radixAttribute(0xc000_0187 | radixBits(each))).toBe(each);
  });

  // Loose to strict, by number: the one that is written down here is a rule, the table is sixteen cells.
  it.each(RADIX_ATTRIBUTES.flatMap((host) => RADIX_ATTRIBUTES.map((guest) => ({ host, guest }))))(
    "host $host with guest $guest: the stricter one",
    ({ host, guest }) => {
      const strictness = { normal: 0, SAO: 1, tolerant: 2, "non-idempotent": 3 };
      const stricter = strictness[host] >= strictness[guest] ? host : guest;
      expect(RADIX_HOST_BY_GUEST[host][guest]).toBe(stricter);
      expect(radixType(host, guest)).toBe(stricter);
    },
  );

  property("vfio-pci's mapping of a BAR leaves a guest no choice: write-combining is lost", [anyAttribute], (guest) => {
    expect(radixType(VFIO_BAR_ATTRIBUTE, guest)).toBe("non-idempotent");
  });
});

describe("vmm attributes: POWER hash under KVM HV", () => {
  property("a cached host page is entered as M alone, whatever is asked", [fc.nat(0xffff)], (requested) => {
    expect(hashWimg(true, requested)).toBe(HPTE_M);
  });

  property("a device page needs I, and must not have W", [fc.nat(0xffff)], (requested) => {
    const good = (requested & HPTE_I) !== 0 && (requested & HPTE_W) === 0;
    expect(hashWimg(false, requested)).toBe(good ? requested & WIMG : -1);
  });
});

describe("vmm attributes: a guest page of any machine", () => {
  const BAR = { memory: "bar", access: "mapped" } as const;
  const RAM = { memory: "ram", access: "mapped" } as const;
  const kvm = { rules: "6.12", nonCoherent: false } as const;
  const row = (cpu: GuestCpu, page: Parameters<typeof effectiveType>[1]) =>
    requestsOf(cpu.vendor).map((request) => effectiveType(cpu, page, request));

  it("without KVM, and where accesses are trapped, requests do not count", () => {
    for (const vendor of ["intel", "amd"] as const) {
      expect(new Set(row({ vendor, kvm: null }, BAR))).toEqual(new Set(["UC"]));
      expect(new Set(row({ vendor, kvm: null }, RAM))).toEqual(new Set(["WB"]));
      expect(new Set(row({ vendor, kvm }, { memory: "bar", access: "trapped" }))).toEqual(new Set(["UC"]));
    }
    expect(new Set(row({ vendor: "power", kvm: null }, RAM))).toEqual(new Set(["normal"]));
    expect(new Set(row({ vendor: "power", kvm: null }, BAR))).toEqual(new Set(["non-idempotent"]));
  });

  it("but for stores that are gathered, by the software POWER CPU or in the ring of x86 KVM", () => {
    const page = { memory: "bar", access: "trapped", gathered: true } as const;
    expect(row({ vendor: "power", kvm: null }, page)).toEqual([
      "non-idempotent",
      "non-idempotent",
      "tolerant",
      "non-idempotent",
    ]);
    expect(new Set(row({ vendor: "power", kvm }, page))).toEqual(new Set(["non-idempotent"]));
    expect(new Set(row({ vendor: "intel", kvm: null }, page))).toEqual(new Set(["UC"]));
    for (const vendor of ["intel", "amd"] as const) {
      expect(row({ vendor, kvm }, page)).toEqual(["UC", "UC", "WC", "UC", "UC", "UC"]);
    }
    expect(effectiveType({ vendor: "power", kvm: null }, { ...RAM, gathered: true }, "tolerant")).toBe("normal");
  });

  it("under KVM they count as each processor has it", () => {
    expect(row({ vendor: "intel", kvm }, BAR)).toEqual(["UC", "UC", "WC", "UC", "UC", "UC"]);
    expect(row({ vendor: "intel", kvm }, RAM)).toEqual(["WB", "WB", "WB", "WB", "WB", "WB"]);
    const nonCoherent = { ...kvm, nonCoherent: true };
    expect(row({ vendor: "intel", kvm: nonCoherent }, RAM)).toEqual(["UC", "UC", "WC", "WT", "WP", "WB"]);
    expect(row({ vendor: "amd", kvm }, RAM)).toEqual(row({ vendor: "amd", kvm: nonCoherent }, RAM));
    expect(row({ vendor: "power", kvm }, RAM)).toEqual(RADIX_ATTRIBUTES);
  });

  it("a request that this CPU does not have counts as its default", () => {
    expect(effectiveType({ vendor: "power", kvm }, RAM, "WC")).toBe("normal");
    expect(effectiveType({ vendor: "intel", kvm: { ...kvm, nonCoherent: true } }, RAM, "tolerant")).toBe("WB");
  });
});
