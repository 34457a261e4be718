// minivmm bench: what it is asked, the shape of what it prints, and the whole of it with tiny counts. No time is judged.
import { describe, expect, it } from "vitest";
import type { FrameResult, MappingResult } from "../src/bench/attrs.ts";
import type { DmaResult, DmaWayResult } from "../src/bench/attrs-dma.ts";
import type { WayResult } from "../src/bench/tce.ts";
import { parseBench } from "../src/options/bench-request.ts";
import { givenFrom } from "../src/options/given.ts";
import { renderBench } from "../src/render/bench.ts";
import { renderBenchAttrs } from "../src/render/bench-attrs.ts";
import { renderBenchDma } from "../src/render/bench-dma.ts";
import { styleFor } from "../src/render/style.ts";
import { cli } from "./helpers.ts";

const parse = (options: Record<string, string>, subject: string | undefined = "tce") =>
  parseBench(givenFrom(Object.entries(options).map(([name, value]) => ({ name, value }))), subject);

describe("cli bench: options", () => {
  it("have defaults, and take page counts in any order, each once", () => {
    expect(parse({})).toEqual({ subject: "tce", pages: [1, 32, 512], rounds: 7, mapped: 150_000, json: false });
    expect(parse({}, "attrs")).toEqual({ subject: "attrs", rounds: 7, drawn: 2048, json: false });
    expect(parse({ rounds: "3", amount: "9" }, "attrs")).toMatchObject({ rounds: 3, drawn: 9 });
    expect(parse({ pages: "512,1,1", rounds: "2", amount: "64" })).toMatchObject({
      pages: [1, 512],
      rounds: 2,
      mapped: 64,
    });
  });

  it.each([
    [{ pages: "3" }, "powers of two"],
    [{ pages: "1024" }, "powers of two"],
    [{ pages: "" }, "powers of two"],
    [{ pages: "1,,2" }, "powers of two"],
    [{ rounds: "0" }, "a number from 1 to 999"],
    [{ rounds: "x" }, "a number from 1 to 999"],
    [{ amount: "-5" }, "a number from 1"],
  ])("refuse %j", (options, hint) => {
    expect(() => parse(options)).toThrow(
      expect.objectContaining({ code: "USAGE_OPTION", hint: expect.stringContaining(hint) }),
    );
  });

  it("name what can be measured", async () => {
    for (const [argv, message] of [
      [["bench"], "bench: nothing to measure is given"],
      [["bench", "tse"], 'bench: unknown subject "tse"'],
      [["bench", "tce", "--pages", "7"], "-pages 7: that is not a list of page counts"],
      [["bench", "attrs", "--pages", "1"], "-pages: bench attrs maps nothing"],
      [["bench", "attrs", "--amount", "0"], "-amount 0: that is not a count"],
    ] as const) {
      const { status, stderr } = await cli(argv);
      expect(stderr).toContain(message);
      expect(status).toBe(2);
    }
  });
});

describe("cli bench: table", () => {
  const part = { pages: 1, calls: 10, milliseconds: 1, wallMilliseconds: 1, pagesPerSecond: 1 };
  const served = { realMode: 0, virtualMode: 0, userSpace: 20 };

  it("sets the ways side by side, and says which one there is not", () => {
    const results: WayResult[] = [
      {
        way: "off",
        parts: [{ ...part, callsPerSecond: 800_000, megabytesPerSecond: 1600, ratio: 1 }],
        served,
        instructions: 5,
      },
      { way: "real", unavailable: "not available on this host", parts: [], served, instructions: 5 },
    ];
    const lines = renderBench(results, styleFor({}, {})).split("\n");
    expect(lines[0]).toBe("1 page a call");
    expect(lines[2]).toMatch(/^ {2}off: .* 800,000 +1,600 +1\.00 x$/);
    expect(lines[3]).toMatch(/^ {2}real mode: .* not available on this host$/);
  });
});

describe("cli bench: table of attributes", () => {
  it("sets the mappings side by side for each size of frame", () => {
    const result = (transactions: number, megabytesPerSecond: number): MappingResult => ({
      transactions,
      transactionsPerFrame: transactions,
      milliseconds: 1,
      wallMilliseconds: 1,
      megabytesPerSecond,
    });
    const frame: FrameResult = {
      bytes: 4096,
      frames: 1,
      guarded: result(512, 15),
      tolerant: result(64, 300),
      fewer: 8,
      faster: 20,
    };
    const lines = renderBenchAttrs([frame, { ...frame, bytes: 1 << 20 }], styleFor({}, {})).split("\n");
    expect(lines[0]).toBe("Frames of 4 KiB");
    expect(lines[2]).toMatch(/^ {2}guarded .* 512 +1\/1\.00 +15\.0 +1\.00 x$/);
    expect(lines[3]).toMatch(/^ {2}tolerant .* 64 +1\/8\.00 +300\.0 +20\.00 x$/);
    expect(lines[5]).toBe("Frames of 1024 KiB");
  });
});

describe("cli bench: table of DMA", () => {
  it("sets snooped and unsnooped side by side, and says what the checker said", () => {
    const way = (flushesPerTransfer: number, transfersPerSecond: number): DmaWayResult => ({
      transfers: 16,
      flushes: 16 * flushesPerTransfer,
      flushesPerTransfer,
      milliseconds: 1,
      wallMilliseconds: 1,
      transfersPerSecond,
      megabytesPerSecond: transfersPerSecond / 250,
    });
    const report = {
      kind: "unflushed",
      device: "edu",
      access: "read",
      busAddress: "0x1000",
      page: "0x2000",
      pc: "0x3000",
      mapping: "guest page 0x2000",
      missing: "dcbf",
      count: 4,
    } as const;
    const result: DmaResult = {
      bytes: 4096,
      snooped: way(0, 200_000),
      unsnooped: way(32, 100_000),
      slower: 2,
      checked: [
        { flushed: false, transfers: 4, reports: [report] },
        { flushed: true, transfers: 4, reports: [] },
      ],
    };
    const lines = renderBenchDma(result, styleFor({}, {})).split("\n");
    expect(lines[0]).toBe("RAM that a device reads by DMA, 4 KiB a round");
    expect(lines[2]).toMatch(/^ {2}snooped: .* 0 +200,000 +800\.0 +1\.00 x$/);
    expect(lines[3]).toMatch(/^ {2}unsnooped: .* 32 +100,000 +400\.0 +2\.00 x$/);
    expect(lines[4]).toContain("no caches");
    expect(lines[5]).toBe(
      "checked: 4 unsnooped rounds without flushes: edu reads 0x1000 past a cache that has newer bytes, guest at 0x3000, 4 times; there: guest page 0x2000; missing: dcbf",
    );
    expect(lines.slice(6)).toEqual(["checked: 4 unsnooped rounds with flushes: nothing is reported", ""]);
  });
});

describe("cli bench: the whole", () => {
  it("draws the same frames through both mappings, with an eighth of the transactions through one", async () => {
    const { status, stdout, stderr } = await cli(["bench", "attrs", "--json", "--rounds", "1", "--amount", "2"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ bench: "attrs", machine: "pseries", device: "VGA", rounds: 1, pagesDrawn: 2 });
    const [small, large] = result.frames;
    expect([small.bytes, small.frames, large.bytes, large.frames]).toEqual([4096, 2, 1 << 20, 1]);
    expect([small.guarded.transactions, large.guarded.transactions]).toEqual([1024, 131_072]);
    // A line that is being gathered when the machine looks at its event loop goes out in parts.
    for (const [frame, lines] of [
      [small, 128],
      [large, 16_384],
    ]) {
      expect(frame.tolerant.transactions).toBeGreaterThanOrEqual(lines);
      expect(frame.tolerant.transactions).toBeLessThan(lines + 16);
      expect(frame.guarded.megabytesPerSecond > 0 && frame.tolerant.megabytesPerSecond > 0).toBe(true);
    }
    const { dma } = result;
    expect(dma).toMatchObject({
      bytes: 4096,
      snooped: { transfers: 32, flushes: 0, flushesPerTransfer: 0 },
      unsnooped: { transfers: 32, flushes: 1024, flushesPerTransfer: 32 },
      checked: [
        { flushed: false, transfers: 4, reports: [{ kind: "unflushed", device: "edu", access: "read", count: 4 }] },
        { flushed: true, transfers: 4, reports: [] },
      ],
    });
    expect(dma.snooped.megabytesPerSecond > 0 && dma.unsnooped.transfersPerSecond > 0 && dma.slower > 0).toBe(true);
  });

  it("is a table of attributes for people", async () => {
    const { status, stdout } = await cli(["bench", "attrs", "-rounds", "1", "-amount", "1"]);
    expect(status).toBe(0);
    expect(stdout).toContain("Writing to a prefetchable BAR");
    expect(stdout).toContain("1 round of 1 pages, interleaved; medians of processor time; all data verified");
    expect(stdout).toContain("Frames of 1024 KiB");
    expect(stdout).toContain("RAM that a device reads by DMA");
    expect(stdout).toMatch(/^checked: 4 unsnooped rounds without flushes: edu reads .* 32 of 32 blocks/m);
    expect(stdout).toMatch(/^checked: 4 unsnooped rounds with flushes: nothing is reported$/m);
  });

  it("runs one program three ways, each answered by its own stage, and finds all data", async () => {
    const { status, stdout, stderr } = await cli([
      "bench",
      "tce",
      "--json",
      "--pages",
      "1,8,512",
      "--rounds",
      "1",
      "--amount",
      "600",
    ]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ bench: "tce", host: "power9", device: "NVMe", rounds: 1, pagesMapped: 600 });
    const [off, virtual, real] = result.ways;
    expect(result.ways.map(({ way }: WayResult) => way)).toEqual(["off", "virtual", "real"]);
    // 10 batches of 64 pages twice, and 2 of 512 twice; each is mapped and unmapped. The same program: the same calls.
    const calls = { 1: 2 * 640, 8: 2 * 80, 512: 2 * 2 };
    for (const { parts, instructions, served } of result.ways) {
      expect(parts.map(({ calls: made }: { calls: number }) => made)).toEqual(Object.values(calls));
      expect(
        parts.every(({ ratio, callsPerSecond }: WayResult["parts"][number]) => ratio > 0 && callsPerSecond > 0),
      ).toBe(true);
      expect(served.realMode + served.virtualMode + served.userSpace).toBe(off.served.userSpace);
      expect(instructions).toBe(off.instructions);
    }
    expect(off.served).toMatchObject({ realMode: 0, virtualMode: 0 });
    expect(virtual.served).toEqual({ realMode: 0, virtualMode: off.served.userSpace, userSpace: 0 });
    expect(real.served.realMode).toBeGreaterThan(virtual.served.virtualMode * 0.99);
    expect(real.served.userSpace).toBe(0);
  });

  it("is a table for people", async () => {
    const { status, stdout } = await cli(["bench", "tce", "-pages", "512", "-rounds", "1", "-amount", "1"]);
    expect(status).toBe(0);
    expect(stdout).toContain("Mapping for DMA by hypercall");
    expect(stdout).toContain("1 round of 1 pages, interleaved; medians of processor time; all data verified");
    expect(stdout).toContain("512 pages a call");
    expect(stdout).toContain("TCE hypercalls of a round by stage");
  });
});
