// What `minivmm attrs`, `minivmm memlock` and the summary say of a VM whose functions are behind IOMMU units of two kinds.
import { type HostDescription, modelHost, modelHostDescription } from "@minivmm/model-host";
import { type KvmDmaFacts, kvmDmaFacts, surveyContainers } from "@minivmm/vmm/attributes";
import { describe, expect, it } from "vitest";
import { describePages } from "../src/describe/attrs-report.ts";
import { kvmDmaWords } from "../src/describe/kvm-dma-words.ts";
import { describeLocks } from "../src/describe/memlock-report.ts";
import { type DescribeRequest, passedFunctions } from "../src/options/describe-request.ts";
import { renderAttrs } from "../src/render/attrs.ts";
import { styleFor } from "../src/render/style.ts";

const NVME = "0000:02:00.0";
const EDU = "0000:00:05.0";
const MIB = 2 ** 20;
const PLAIN = styleFor({}, {});

const MIXED: HostDescription = {
  ...modelHostDescription("desktop"),
  iommu: { kind: "type1", units: [{ scope: [EDU], snoopControl: false }] },
};

function request(devices: DescribeRequest["devices"]): DescribeRequest {
  return {
    machine: "pc",
    kind: "pc",
    runnable: true,
    memoryBytes: 64 * MIB,
    kvm: true,
    ddw: true,
    dmaWindowBytes: 2 ** 30,
    vfioAccel: true,
    host: { kind: "real" },
    devices,
    json: false,
  };
}

function survey(devices: DescribeRequest["devices"], memlock = Number.POSITIVE_INFINITY) {
  const asked = request(devices);
  const model = modelHost(MIXED);
  const host = model.spawn({ memlock, capabilities: [] });
  const containers = surveyContainers(host, passedFunctions(asked), { apart: true });
  return { asked, host, containers, [Symbol.dispose]: () => model.close() };
}

const vfio = (host: string, rest: object = {}) => ({ driver: "vfio-pci" as const, host, ...rest });

describe("cli describe: functions behind IOMMU units of two kinds", () => {
  it("are in two containers, one of which is for being apart, unless one was named", () => {
    using free = survey([vfio(NVME), vfio(EDU)]);
    expect(
      free.containers.map(({ name, functions, enforcesSnoop, optional }) => [name, functions, enforcesSnoop, optional]),
    ).toEqual([
      ["default", [NVME], true, false],
      ["default, apart", [EDU], false, true],
    ]);
    using named = survey([vfio(NVME, { container: "x" }), vfio(EDU, { container: "x" })]);
    expect(named.containers.map(({ name, enforcesSnoop }) => [name, enforcesSnoop])).toEqual([["x", false]]);
    expect(free.host.fds.list()).toEqual([]);
  });

  it("attrs tells for each whether DMA snoops, and what KVM makes of them all", () => {
    using both = survey([vfio(NVME), vfio(EDU)]);
    const text = renderAttrs(describePages(both.host, "mixed", both.asked, both.containers), PLAIN);
    expect(text).toContain("count of non-coherent DMA: 1");
    expect(text).toContain(
      "KVM counts its DMA as non-coherent; the guest's PAT decides the type of its RAM; its WBINVD empties caches\n",
    );
    expect(text).toContain("container default: always: the IOMMU overrides No-Snoop");
    expect(text).toContain("container default, apart: unless the device asks for No-Snoop");
    using one = survey([vfio(NVME)]);
    expect(renderAttrs(describePages(one.host, "mixed", one.asked, one.containers), PLAIN)).toContain(
      "all DMA snoops as far as KVM knows; guest RAM is write-back, whatever the guest asks for; its WBINVD does nothing\n",
    );
    using none = survey([]);
    expect(renderAttrs(describePages(none.host, "mixed", none.asked, none.containers), PLAIN)).not.toContain("WBINVD");
  });

  it("memlock counts the second container where it fits, and does without it where only that lets the VM start", () => {
    const devices = [vfio(NVME), vfio(EDU)];
    for (const [limit, verdict, charged, shares] of [
      [128 * MIB, "fits", 128 * MIB, false],
      [128 * MIB - 4096, "fits", 64 * MIB, true],
      [64 * MIB, "fits", 64 * MIB, true],
      [64 * MIB - 4096, "too-little", 128 * MIB, false],
    ] as const) {
      using each = survey(devices, limit);
      const report = describeLocks(each.host, "mixed", each.asked, each.containers);
      expect(report).toMatchObject({ verdict, chargedBytes: charged });
      expect(report.notes.some((note) => note.startsWith(`${EDU} would share a container`))).toBe(shares);
      expect(report.remedies.some((remedy) => remedy.includes("container="))).toBe(false);
    }
  });

  it("the words are those of the facts", () => {
    const words = (...facts: Parameters<typeof kvmDmaFacts>): string => kvmDmaWords(kvmDmaFacts(...facts));
    expect(words("intel", "6.1", true)).toContain("MTRRs and PAT");
    expect(words("amd", "6.12", false)).toBe(
      "all DMA snoops as far as KVM knows; the guest's PAT decides the type of its RAM; its WBINVD does nothing",
    );
    expect(words(null, "6.12", true)).toBe("KVM counts its DMA as non-coherent; its WBINVD empties caches");
    const open: KvmDmaFacts = kvmDmaFacts("intel", "6.12", null);
    expect(kvmDmaWords(open)).toBe("whether KVM counts its DMA as non-coherent is not known");
  });
});
