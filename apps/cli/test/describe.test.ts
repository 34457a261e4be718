// `minivmm attrs` and `minivmm memlock`: what they say of described VMs on modelled hosts, and that it comes true.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { bareDiskProgram } from "@minivmm/vmm/guests";
import { describe, expect, it } from "vitest";
import { cli, temporaryFolder } from "./helpers.ts";

const POWER = ["-M", "pseries", "-host", "model:power9", "-device", "vfio,host=0001:01:00.0"];
const pc = (host: string, ...more: string[]): string[] => [...["-M", "pc", "-enable-kvm", "-host", host], ...more];
const DISK = ["-device", "vfio,host=0000:01:00.0"];

interface Region {
  name: string;
  access: string;
  pinnedBy: string;
  dmaSnoops: string;
  explanation: string;
  types: Record<string, string[]>;
}

async function attrs(argv: readonly string[]) {
  const { status, stdout, stderr } = await cli(["attrs", ...argv, "--json"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const report = JSON.parse(stdout);
  const regions = report.regions as Region[];
  const row = (name: string): string =>
    Object.values(regions.find((region) => region.name === name)?.types ?? {})
      .map((types) => types.join("/"))
      .join(" ");
  return { report, regions, row };
}

async function memlock(argv: readonly string[]) {
  const { status, stdout, stderr } = await cli(["memlock", ...argv, "--json"]);
  return { status, stderr, report: stdout === "" ? null : JSON.parse(stdout) };
}

describe("cli attrs", () => {
  it("pseries: RAM is normal, BARs are trapped and guarded, in software as in KVM", async () => {
    const soft = await attrs(POWER);
    expect(soft.row("RAM")).toBe("normal normal normal normal");
    expect(soft.row("0001:01:00.0 BAR 0")).toBe("non-idempotent non-idempotent non-idempotent non-idempotent");
    const kvm = await attrs([...POWER, "-enable-kvm"]);
    expect(kvm.row("RAM")).toBe("normal SAO tolerant non-idempotent");
    expect(kvm.row("0001:01:00.0 BAR 0")).toBe(soft.row("0001:01:00.0 BAR 0"));
    expect(kvm.regions.map(({ access }) => access)).toEqual(["mapped", "trapped"]);
    expect(kvm.report).toMatchObject({ runnable: true, kvm: null, notes: [] });
    expect(kvm.regions[0]?.pinnedBy).toContain("registered");
  });

  it("x86: an IOMMU that cannot enforce snooping hands RAM's types to the guest, one that can does not", async () => {
    const loose = await attrs(pc("model:q35", ...DISK));
    expect(loose.report.kvm).toMatchObject({ nonCoherentDma: 1, rules: "6.12" });
    expect(loose.row("RAM")).toBe("UC UC WC WT WP WB");
    const strict = await attrs(pc("model:desktop", "-device", "vfio,host=0000:02:00.0"));
    expect(strict.report.kvm).toMatchObject({ nonCoherentDma: 0 });
    expect(strict.row("RAM")).toBe("WB WB WB WB WB WB");
    for (const { row, regions } of [loose, strict]) {
      expect(row(regions[1]?.name as string)).toBe("UC UC WC UC UC UC");
      expect(regions[1]).toMatchObject({ access: "mapped", prefetchable: false, addressBits: 64 });
    }
  });

  it("x86: AMD, older kernels, and a CPU in software", async () => {
    const amd = await attrs(pc("model:q35", ...DISK, "-cpu-vendor", "amd"));
    expect(amd.row("RAM")).toBe("CD CD WC+ WT WP WB");
    expect(amd.report.cpu).toEqual({ vendor: "amd", assumed: false, accel: "kvm" });
    expect((await attrs(pc("model:q35,profile=6.1", ...DISK))).report.kvm.rules).toBe("6.1");
    const soft = await attrs(["-M", "q35", "-accel", "tcg", "-host", "model:q35", ...DISK]);
    expect(soft.report).toMatchObject({ runnable: false, machine: "q35" });
    expect(soft.report.notes[0]).toContain("described only");
    expect(soft.row("RAM")).toBe("WB WB WB WB WB WB");
    expect(soft.row("0000:01:00.0 BAR 0")).toBe("UC UC UC UC UC UC");
    expect(soft.regions[1]?.access).toBe("trapped");
  });

  it("a container that cannot be asked leaves RAM's types open, and says why", async () => {
    const { report, regions, row } = await attrs(pc("model:q35", "-device", "vfio,host=0000:01:00.0,uiommufd=9"));
    expect(report.kvm.nonCoherentDma).toBeNull();
    expect(row("RAM")).toBe("WB/UC WB/UC WB/WC WB/WT WB/WP WB");
    expect(regions[0]?.dmaSnoops).toBe("not known before the start");
    expect(report.notes[0]).toContain("passed in");
  });

  it("x86: KVM is what machine pc runs in; an iommufd is asked about as a container", async () => {
    const plain = await attrs(["-M", "pc", "-host", "model:desktop", "-device", "vfio,host=0000:02:00.0"]);
    const modern = ["-object", "iommufd,id=i0", "-device", "vfio,host=0000:02:00.0,iommufd=i0,fd=9"];
    const { report } = await attrs(["-M", "pc", "-host", "model:desktop", ...modern]);
    expect(report.containers).toEqual([{ ...plain.report.containers[0], name: "iommufd i0" }]);
    for (const { runnable, cpu, notes } of [plain.report, report]) {
      expect({ runnable, accel: cpu.accel }).toEqual({ runnable: true, accel: "kvm" });
      expect(notes.at(-1)).toContain("modelled host");
    }
  });

  it("ports have no type; a machine that cannot run is marked", async () => {
    const argv = ["attrs", "-M", "pc", "-host", "model:q35", "-device", "vfio,host=0000:05:00.0"];
    const { stdout } = await cli(argv);
    expect(stdout).toMatch(/^machine pc on /);
    expect((await cli([...argv, "-accel", "tcg"])).stdout).toMatch(/^machine pc \(described only\) on /);
    const ports = stdout.split("\n").filter((line) => line.includes(" ports "));
    for (const line of ports) expect(line).toMatch(/trapped( +-){6}$/);
    expect(ports.length).toBeGreaterThan(0);
  });

  it.each([
    [["-M", "pcc"], "unknown machine"],
    [["-M", "pc,ddw=on"], "an option of machine pseries"],
    [["-M", "pc", "-cpu-vendor", "power"], "no such CPU"],
    [["-M", "pseries", "-cpu-vendor", "intel"], "no such CPU"],
    [["-cpu-vendor", "arm"], "unknown CPU vendor"],
    [["-m", "1000K"], "whole number of MiB"],
    [[...POWER, "-device", "vfio,host=0001:01:00.0"], "given twice"],
    [["-global", "spapr-pci-host-bridge.dma_win_size=3M"], "DMA window"],
    [["--summary", "x"], "summary"],
  ])("%j is a mistake on the command line", async (argv, why) => {
    const { status, stderr } = await cli(["attrs", "-host", "model:power9", ...argv]);
    expect(status).toBe(2);
    expect(stderr).toContain(why);
  });
});

describe("cli memlock", () => {
  const withLimit = (limit: string): string[] =>
    POWER.map((word) => (word.startsWith("model:") ? `${word},${limit}` : word));

  it("tells need, limit and remedy, and answers 1 when it does not fit", async () => {
    const { status, stdout } = await cli(["memlock", ...withLimit("memlock=64M"), "-m", "64"]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^need +68 MiB$/m);
    expect(stdout).toMatch(/^limit +64 MiB$/m);
    expect(stdout).toContain("does not fit");
    expect(stdout).toMatch(/^remedy +ulimit -l \d+/m);
    expect((await cli(["memlock", ...POWER, "-m", "64"])).status).toBe(0);
  });

  it("the verdict is what a run then does, on both sides of the limit", async () => {
    const folder = temporaryFolder();
    const kernel = join(folder, "guest");
    writeFileSync(kernel, bareDiskProgram({ bytes: 4096 }));
    const { report } = await memlock([...POWER, "-m", "32"]);
    expect(report).toMatchObject({ exact: true, verdict: "fits", needBytes: report.chargedBytes });
    for (const [memlockKib, expected] of [
      [report.needBytes / 1024, 0],
      [report.needBytes / 1024 - 64, 1],
    ] as const) {
      const argv = [...withLimit(`memlock=${memlockKib}K`), "-m", "32"];
      expect((await memlock(argv)).status).toBe(expected);
      const run = await cli(["run", ...argv, "-kernel", kernel, "-nographic"]);
      const started = !run.stderr.includes("locked memory");
      expect(started).toBe(expected === 0);
    }
  });

  it("what only the guest's dynamic window would need does not keep the VM from starting", async () => {
    const { report } = await memlock([...POWER, "-m", "32"]);
    const limit = `memlock=${report.needBytes / 1024}K`;
    expect(await memlock([...withLimit(limit), "-m", "32"])).toMatchObject({
      status: 0,
      report: { verdict: "fits-start" },
    });
    const off = withLimit(limit).map((word) => (word === "pseries" ? "pseries,ddw=off" : word));
    expect(await memlock([...off, "-m", "32"])).toMatchObject({ status: 0, report: { verdict: "fits", later: [] } });
  });

  it("x86: RAM once a container", async () => {
    const two = ["-device", "vfio,host=0000:02:00.0", "-device", "vfio,host=0000:00:05.0"];
    const shared = await memlock(pc("model:desktop", "-m", "64", ...two));
    expect(shared).toMatchObject({ status: 0, report: { needBytes: 2 ** 26, runnable: true } });
    expect(shared.report.notes.join()).not.toMatch(/described only|iommufd/);
    const apart = await memlock(pc("model:desktop", "-m", "64", ...two.slice(0, 3), `${two[3]},container=b`));
    expect(apart.report.needBytes).toBe(2 ** 27);
    const modern = two.map((word) => (word.startsWith("vfio") ? `${word},iommufd=i0` : word));
    const iommufd = await memlock(pc("model:desktop", "-m", "64", "-object", "iommufd,id=i0", ...modern));
    expect(iommufd.report.needBytes).toBe(2 ** 26);
    expect(iommufd.report.notes.join()).toContain("an iommufd counts for the user");
  });

  it("a machine that the host's IOMMU cannot serve does not start, and says so", async () => {
    const { status, report } = await memlock(["-host", "model:desktop", "-device", "vfio,host=0000:02:00.0"]);
    expect({ status, verdict: report.verdict }).toEqual({ status: 1, verdict: "cannot-start" });
    expect(report.notes[0]).toContain("sPAPR");
  });

  it("nothing passed through: nothing is needed, whatever the limit", async () => {
    const { status, report } = await memlock(["-host", "model:power9,memlock=0"]);
    expect({ status, need: report.needBytes, verdict: report.verdict }).toEqual({
      status: 0,
      need: 0,
      verdict: "fits",
    });
  });

  it("a function that is not there is an error", async () => {
    expect(await memlock(["-host", "model:power9", "-device", "vfio,host=0009:01:00.0"])).toMatchObject({
      status: 1,
      report: null,
    });
  });
});
