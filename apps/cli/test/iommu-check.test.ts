// -global iommu.check=coherency, from the command line to standard error and the summary.
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import type { PciDevice } from "@minivmm/pci";
import type { CoherencyReport } from "@minivmm/vmm";
import { bareDiskProgram, diskPattern } from "@minivmm/vmm/guests";
import { describe, expect, it } from "vitest";
import { runWith } from "../src/cmds/run.ts";
import type { TerminalInput } from "../src/console/terminal.ts";
import { deviceConfigs } from "../src/host/plug.ts";
import type { Launcher } from "../src/launcher.ts";
import type { PcRequest } from "../src/options/pc-machine.ts";
import { pcLauncher } from "../src/pc/launcher.ts";
import { openPlatform } from "../src/pc/platform.ts";
import { coherencyLine, coherencyLines } from "../src/render/coherency.ts";
import { Capture, cli, temporaryFolder } from "./helpers.ts";
import { expectRefusal, request } from "./requests.ts";

const BYTES = 64 << 10;
const CHECK = ["-global", "iommu.check=coherency"];
const REPORT: CoherencyReport = {
  kind: "unflushed",
  device: "edu0",
  access: "read",
  busAddress: "0x200000",
  page: "0x1100000",
  pc: "0x400abc",
  mapping: "guest page 0x1100000, to read",
  missing: "dcbf or dcbst, and hwsync, of 2 of 6 blocks that the CPU has written",
  count: 1,
};
const LINE =
  "edu0 reads 0x200000 past a cache that has newer bytes, guest at 0x400abc; there: guest page 0x1100000, to read; " +
  "missing: dcbf or dcbst, and hwsync, of 2 of 6 blocks that the CPU has written";

/** The disk program, its disk, and a SCSI adapter whose window is that with the LIOBN 0x71000003. */
function diskRun(liobn?: number): { argv: string[]; summary: string } {
  const folder = temporaryFolder();
  const [kernel, image, summary] = ["kernel", "d.img", "s.json"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(kernel, bareDiskProgram({ bytes: BYTES, ...(liobn === undefined ? {} : { liobn }) }));
  writeFileSync(image, diskPattern(BYTES));
  truncateSync(image, 1 << 20);
  const machine = ["run", "-host", "model:power9", "-m", "64", "-M", "pseries,clock=instructions", "-kernel", kernel];
  const devices = [
    ...["-drive", `file=${image},if=none,id=d0`, "-device", "nvme,drive=d0,id=disk,addr=1"],
    ...["-device", "spapr-vscsi,reg=0x71000003"],
  ];
  return { argv: [...machine, ...devices, "-summary", summary], summary };
}

describe("cli iommu check: options", () => {
  it("is off unless it is asked for, on both machines", () => {
    expect(request(...CHECK).machine).toMatchObject({ machine: "pseries", coherency: {} });
    expect(request(...CHECK, "-global", "iommu.snoop-control=on").machine).toMatchObject({
      coherency: { snoopControl: true },
    });
    expect(request("-M", "pc", ...CHECK).machine).toMatchObject({ machine: "pc", coherency: {} });
    for (const argv of [[], ["-M", "pc"], ["-global", "iommu.check=off"], [...CHECK, "-global", "iommu.check=off"]]) {
      expect(request(...argv).machine).not.toHaveProperty("coherency");
    }
    const both = request(...CHECK, "-global", "spapr-pci-host-bridge.ddw=off").machine;
    expect(both).toMatchObject({ coherency: {}, ddw: false });
  });

  it.each([
    [["-global", "iommu.check=all"], /check=all is not possible/, /coherency, off/],
    [["-global", "iommu.chek=coherency"], /unknown property "chek"/, /did you mean check/],
    [["-global", "iommu.snoop-control=on"], /nothing is checked/, /iommu\.check=coherency too/],
    [["-M", "pc", ...CHECK, "-global", "iommu.snoop-control=on"], /machine pc has no IOMMU/, /leave it out/],
    [["-enable-kvm", ...CHECK], /KVM tells nothing of caches/, /leave out -enable-kvm/],
    [["-global", "iomu.check=coherency"], /unknown driver "iomu"/, /did you mean iommu/],
    [["-device", "edu,nosnop=on"], /unknown property "nosnop"/, /did you mean nosnoop/],
  ])("%j is a mistake on the command line", (argv, message, hint) => {
    expectRefusal(argv, message, hint);
  });

  it("edu asks that no cache be snooped where it is told to, and keeps its clock", () => {
    expect(request("-device", "edu,nosnoop=on,addr=4").devices).toEqual([{ driver: "edu", noSnoop: true, slot: 4 }]);
    class Clock {
      readonly asked: number[] = [];
      after(ms: number): { cancel(): void } {
        this.asked.push(ms);
        return { cancel: () => undefined };
      }
    }
    const clock = new Clock();
    const [loose, plain] = deviceConfigs(request("-device", "edu,nosnoop=on", "-device", "edu").devices, clock).map(
      (config) => (config as { device: PciDevice }).device,
    );
    const express = 0x10;
    expect([loose, plain].map((device) => (device?.config.findCapability(express) ?? 0) > 0)).toEqual([true, false]);
    loose?.writeBar(0, 0x98, 4, 1, 0);
    expect(clock.asked).toHaveLength(1);
  });
});

describe("cli iommu check: pseries", () => {
  it("says each mistake on standard error when it is found, and lists it in the summary", async () => {
    const { argv, summary } = diskRun(0x7100_0003);
    const { status, stderr, stdout } = await cli([...argv, ...CHECK]);
    expect(status).toBe(0);
    expect(stdout).toContain("FAIL identify");
    const [line, ...others] = stderr.split("\n").filter((text) => text.startsWith("minivmm: iommu check: "));
    expect(line).toMatch(
      /: disk reads 0x100000 to a page that is not mapped, guest at 0x4[0-9a-f]+; there: nothing, in /,
    );
    expect(others).toEqual([]);
    const { coherency, coherencyDropped } = JSON.parse(readFileSync(summary, "utf8"));
    expect(coherency).toMatchObject([{ kind: "not-mapped", device: "disk", busAddress: "0x100000", page: null }]);
    expect(coherencyDropped).toBe(0);
  });

  it("says nothing of a driver that does it well, and nothing at all while it is off", async () => {
    const good = diskRun();
    const checked = await cli([...good.argv, ...CHECK]);
    expect(checked).toMatchObject({ status: 0, stderr: "" });
    expect(checked.stdout).toContain("PASS");
    expect(JSON.parse(readFileSync(good.summary, "utf8"))).toMatchObject({ coherency: [], coherencyDropped: 0 });
    const bad = diskRun(0x7100_0003);
    expect((await cli(bad.argv)).stderr).toBe("");
    expect(JSON.parse(readFileSync(bad.summary, "utf8"))).not.toHaveProperty("coherency");
  });
});

describe("cli iommu check: pc", () => {
  it("is the machine's thread to do, whose host tells of its functions where it is a modelled one", async () => {
    const asked = request("-M", "pc", ...CHECK, "-host", "model:desktop", "-device", "vfio,host=02:00.0");
    const configs: unknown[] = [];
    const create = (config: unknown): never => {
      configs.push(config);
      throw new Error("that is enough");
    };
    using launcher = pcLauncher(asked.machine as PcRequest, asked, undefined, undefined, create as never);
    const found = (): void => undefined;
    expect(() => launcher.launch({ write: () => undefined }, found)).toThrow("that is enough");
    expect(configs).toMatchObject([{ coherency: { report: found } }]);
    const clock = { now: () => 0, after: () => ({ cancel: () => undefined }) };
    const { host, devices } = asked;
    const platform = await openPlatform(structuredClone({ host, devices }), clock);
    expect(platform.observeDma).toBeTypeOf("function");
    platform.close();
  });

  it("says what the thread found before the command ends", async () => {
    const io = { stdin: new PassThrough() as TerminalInput, stdout: new Capture(), stderr: new Capture(), env: {} };
    const launcher: Launcher = {
      launch: async (_, found) => {
        return {
          run: async () => {
            found?.(REPORT);
            return { status: 0, reason: "power-off" };
          },
          summary: () => ({}),
          stop: () => undefined,
          close: () => undefined,
        } as never;
      },
      [Symbol.dispose]: () => undefined,
    };
    expect(await runWith(launcher, request("-M", "pc", ...CHECK), io)).toBe(0);
    expect(io.stderr.text).toBe(`minivmm: iommu check: ${LINE}\n`);
  });
});

describe("cli render: what the check found", () => {
  it("is one line each, with the times that it was made", () => {
    expect(coherencyLine(REPORT)).toBe(LINE);
    expect(coherencyLine({ ...REPORT, count: 1200, pc: null })).toContain("newer bytes, 1,200 times; there:");
  });

  it("is a section of the summary where something was looked at", () => {
    expect(coherencyLines({})).toEqual([]);
    expect(coherencyLines({ coherency: [] })).toEqual(["  nothing was found"]);
    expect(coherencyLines({ coherency: [REPORT], coherencyDropped: 3 })).toEqual([
      `  ! ${LINE}`,
      "  and 3 more that are not listed",
    ]);
  });
});
