// `minivmm attrs` for a VM that runs: Ctrl-A a and SIGUSR1, what they print, and that the guest goes on.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import type { BarNow, RunningAttributes } from "@minivmm/vmm";
import { describe, expect, it } from "vitest";
import { main } from "../src/cli.ts";
import type { TerminalInput } from "../src/console/terminal.ts";
import { reportPages } from "../src/describe/attrs-report.ts";
import { runningFacts } from "../src/describe/running-facts.ts";
import { formatSize } from "../src/options/size.ts";
import { renderAttrs } from "../src/render/attrs.ts";
import { styleFor } from "../src/render/style.ts";
import { Capture, cli, echoGuest, FakeTerminal, temporaryFolder } from "./helpers.ts";

const NVME = "0001:01:00.0";
const VM = ["-M", "pseries", "-m", "64", "-host", "model:power9,memlock=1G", "-device", `vfio,host=${NVME},id=disk`];

/** A stream, and a promise of what it will have been written. */
class Watched extends Capture {
  private look: () => void = () => {};

  override _write(chunk: string | Buffer, encoding: string, done: () => void): void {
    super._write(chunk, encoding, done);
    this.look();
  }

  async has(text: string): Promise<void> {
    while (!this.text.includes(text)) {
      await new Promise<void>((resolve) => {
        this.look = resolve;
      });
    }
  }
}

/** The guest says "up" and repeats what is typed. */
function start(stdin: PassThrough, more: readonly string[] = []) {
  const kernel = join(temporaryFolder(), "guest");
  writeFileSync(kernel, echoGuest());
  const [stdout, stderr] = [new Watched(), new Watched()];
  const io = { stdin: stdin as unknown as TerminalInput, stdout, stderr, env: {} };
  return { stdout, stderr, status: main(["run", ...VM, ...more, "-kernel", kernel], io) };
}

/** The line of a region, without what only a running VM has. */
const typesIn = (text: string, region: string): string | undefined =>
  text
    .split(/\r?\n/)
    .find((line) => line.startsWith(`${region} `))
    ?.replace(/^.*(mapped|trapped|none)/, "$1")
    .replaceAll(/ +/g, " ");

describe("cli attrs: a running VM of machine pseries", () => {
  it("Ctrl-A a prints what the VM has beside the guest's console, and the guest goes on", async () => {
    const stdin = new FakeTerminal(true);
    const { stdout, stderr, status } = start(stdin);
    await stdout.has("up\n");
    stdin.write("one\n\x01atwo\n");
    await stderr.has("pinned now");
    await stdout.has("two\n");
    stdin.write("three\n");
    await stdout.has("three\n");
    stdin.write("\x01x");
    expect(await status).toBe(0);
    expect(stdout.text).toBe("up\none\ntwo\nthree\n");
    const text = stderr.text;
    expect(text).toMatch(
      /^\r\nmachine pseries \(running\) on modelled host power9: POWER \(radix\), CPU in software\r\n/,
    );
    expect(text.replaceAll("\r\n", "")).not.toContain("\n");
    const { chargedBytes } = JSON.parse((await cli(["memlock", ...VM, "--json"])).stdout);
    expect(text).toContain(`\r\nthis process has ${formatSize(chargedBytes)} of locked memory (VmLck)\r\n`);
    expect(text).toContain("\r\nstores combined so far: 0 bursts\r\n");
    expect(text).toContain("pinned now  all 64 MiB, for container default");
    expect(text).toMatch(/\nRAM +0x0 +64 MiB +RAM +mapped /);
    // This guest sets up no device: the host's firmware's addresses are not the guest's.
    expect(text).toMatch(new RegExp(`\n${NVME} BAR 0 +- +16 KiB +64-bit +none +- `));
  });

  it("SIGUSR1 does so for a VM without a terminal, once each time; types are those of the described VM", async () => {
    for (const accel of [[], ["-enable-kvm"]]) {
      const stdin = new PassThrough();
      const { stdout, stderr, status } = start(stdin, [...accel, "-serial", "stdio"]);
      await stdout.has("up\n");
      process.emit("SIGUSR1", "SIGUSR1");
      process.emit("SIGUSR1", "SIGUSR1");
      await stderr.has("pinned now");
      stdin.write("on\n");
      await stdout.has("on\n");
      process.emit("SIGTERM", "SIGTERM");
      expect(await status).toBe(128 + 15);
      const described = await cli(["attrs", ...VM, ...accel]);
      expect(typesIn(stderr.text, "RAM")).toBe(typesIn(described.stdout, "RAM"));
      expect(stderr.text.match(/^machine pseries/gm)).toHaveLength(2);
      expect(stderr.text).not.toContain("\r");
      expect(process.listenerCount("SIGUSR1")).toBe(0);
    }
  });

  it("the summary is not mixed up with a report that was asked for at the end", async () => {
    const stdin = new FakeTerminal(true);
    const { stdout, stderr, status } = start(stdin, ["-summary", "-"]);
    await stdout.has("up\n");
    stdin.write("\x01a\x01x");
    expect(await status).toBe(0);
    const [report, summary] = [stderr.text.search(/machine pseries|minivmm: this VM/), stderr.text.indexOf("Timeline")];
    expect(report).toBeGreaterThan(0);
    expect(summary).toBeGreaterThan(report);
  });
});

const BAR: BarNow = {
  device: "disk",
  hostFunction: "0000:02:00.0",
  index: 0,
  kind: "mem64",
  bytes: 16384,
  prefetchable: false,
  address: 0xc000_0000,
  overlapped: false,
  directBytes: 12288,
  msixTable: true,
  burstable: false,
  writes: { bar: 0, writes: 1200, bursts: 0, bytes: 4800 },
};

function pc(more: Partial<RunningAttributes> = {}): RunningAttributes {
  return {
    machine: "pc",
    accelerator: "kvm",
    cpu: { vendor: "intel", kernel: [6, 12] },
    nonCoherentDma: true,
    ram: [
      { start: 0, bytes: 3 * 2 ** 30 },
      { start: 2 ** 32, bytes: 2 ** 30 },
    ],
    containers: [
      {
        name: "a",
        functions: ["0000:02:00.0"],
        groups: [1],
        iommu: "type1",
        enforcesSnoop: true,
        pinnedBytes: 2 ** 32,
      },
      {
        name: "b",
        functions: ["0000:03:00.0"],
        groups: [2],
        iommu: "type1",
        enforcesSnoop: null,
        pinnedBytes: 2 ** 32,
      },
    ],
    lockedBytes: 2 ** 33,
    bars: [BAR],
    combined: null,
    ...more,
  };
}

const reportOf = (vm: RunningAttributes) => reportPages(runningFacts(vm, "this machine", false));
const textOf = (vm: RunningAttributes) => renderAttrs(reportOf(vm), styleFor({}, {}));

describe("cli attrs: what a running VM of machine pc tells", () => {
  it("each piece of RAM, KVM's count as it is, and BARs as the guest reaches them", () => {
    const text = textOf(pc());
    expect(text).toContain("KVM's rules of Linux 6.12; count of non-coherent DMA: 1\n");
    expect(text).toContain("this process has 8 GiB of locked memory (VmLck)\n");
    expect(text).toMatch(/\nRAM 1 +0x0 +3 GiB +RAM +mapped +UC +UC +WC +WT +WP +WB\n/);
    expect(text).toMatch(/\nRAM 2 +0x100000000 +1 GiB /);
    expect(text).toMatch(/\n0000:02:00\.0 BAR 0 +0xc0000000 +16 KiB +64-bit +mapped +UC +UC +WC +UC +UC +UC\n/);
    expect(text).toContain("pinned now  all 1 GiB, for container a; all 1 GiB, for container b\n");
    expect(text).toContain("container b: not known: the kernel does not say");
    expect(text).toMatch(/\n {2}directly +12 KiB of 16 KiB\n/);
    expect(text).toMatch(/\n {2}stores +1,200 writes and 0 bursts, 4,800 bytes in all\n/);
    expect(text).toContain("(pages of the MSI-X table are trapped)");
  });

  it("what is not decoded has no type; what is trapped is the device model's, or vfio-pci's", () => {
    const off = { ...BAR, address: null, directBytes: 0 };
    const model = { ...BAR, hostFunction: null, device: "fb", directBytes: 0, overlapped: true };
    const { regions } = reportOf(
      pc({ bars: [off, model, { ...BAR, index: 2, kind: "io", address: 0xc000, directBytes: 0 }] }),
    );
    const [none, trapped, ports] = regions.slice(2);
    expect(none).toMatchObject({ access: "none", types: {}, explanation: expect.stringContaining("does not decode") });
    expect(trapped).toMatchObject({ name: "fb BAR 0", access: "trapped", mappable: null });
    expect(trapped?.explanation).toContain("hands it to the device model: uncached");
    expect(trapped?.now?.details).toContainEqual(["overlapped", expect.anything()]);
    expect(ports).toMatchObject({ memory: "port", types: {} });
  });

  it("stores are gathered where a device takes bursts and somebody combines", () => {
    const model: BarNow = {
      ...BAR,
      hostFunction: null,
      device: "fb",
      directBytes: 0,
      prefetchable: true,
      burstable: true,
    };
    const combined = { stores: 4096, bursts: 512, bytes: 32768 };
    const gathered = pc({ bars: [model], combined });
    expect(reportOf(gathered).regions[2]?.types).toMatchObject({ WC: ["WC"], "UC-": ["UC"], WB: ["UC"] });
    expect(textOf(gathered)).toContain("stores combined so far: 4,096, which became 512 bursts (32,768 bytes)\n");
    expect(textOf(gathered)).toContain("write-combining pages gather in KVM, up to 64 bytes for one burst.");
    expect(reportOf(pc({ bars: [model] })).regions[2]?.types).toMatchObject({ WC: ["UC"] });
    expect(reportOf(pc({ bars: [{ ...model, burstable: false }], combined })).regions[2]?.types).toMatchObject({
      WC: ["UC"],
    });
  });

  it("what is not known is open: the count, the processor, locked memory", () => {
    const text = textOf(pc({ nonCoherentDma: null, cpu: { vendor: null, kernel: null }, lockedBytes: null }));
    expect(text).toContain("Intel (assumed), CPU in KVM\n");
    expect(text).toContain("count of non-coherent DMA: not known\n");
    expect(text).toContain("what this process has locked is not known\n");
    expect(text).toContain("WB or WC");
    expect(text).toContain("note: the host does not name its CPU");
  });

  it("a container that pins page by page says so", () => {
    const [container] = pc().containers;
    const v1 = { ...container, iommu: "spapr-v1" as const, pinnedBytes: null } as RunningAttributes["containers"][0];
    expect(textOf(pc({ machine: "pseries", accelerator: "soft", containers: [v1] }))).toContain(
      "pinned now  what the guest has mapped for DMA, for container a",
    );
  });
});
