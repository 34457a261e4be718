// What people read: summaries, columns, numbers, colours that know when to stay away.
import type { PcSummary, PseriesSummary } from "@minivmm/vmm";
import { describe, expect, it } from "vitest";
import { columns } from "../src/render/columns.ts";
import { duration, large } from "../src/render/numbers.ts";
import { progressOn } from "../src/render/progress.ts";
import { styleFor } from "../src/render/style.ts";
import { renderSummary } from "../src/render/summary.ts";
import { Capture } from "./helpers.ts";

const summary: PseriesSummary = {
  machine: "pseries",
  accelerator: "soft",
  timeline: [
    { name: "machine created", ms: 1.25, instructions: 0 },
    { name: "power off", ms: 1550, instructions: 298_200_000 },
  ],
  runMs: 1500,
  idleMs: 30,
  instructions: 298_200_000,
  mips: 200.7,
  hypercalls: { H_PUT_TCE: 6 },
  rtasCalls: { a: 100, b: 84 },
  tce: { userSpace: { H_PUT_TCE: 6, H_STUFF_TCE: 1512, H_GET_TCE: 0 } },
  windows: [{ liobn: 0x8000_0000, use: "vfio", open: true, inKernel: false, reason: "no KVM", userCalls: 1518 }],
  dma: [
    {
      mapCalls: 22,
      unmapCalls: 20,
      mapErrors: 1,
      unmapErrors: 0,
      notRam: 0,
      windowsCreated: 1,
      windowsRemoved: 0,
      windowErrors: 0,
      linked: 0,
      messages: ["MAP_DMA: ENOMEM"],
    },
  ],
  devices: [{ name: "disk", slot: 1, problems: ["SET_IRQS: EBUSY"] }],
  vio: [
    {
      name: "scsi",
      unit: 0x7100_0003,
      messages: 592,
      refused: 0,
      commands: 1078,
      failures: 2,
      bytesRead: 2162688,
      bytesWritten: 1048576,
    },
  ],
  interrupts: { epow: 1, disk: 63 },
  exits: { hypercall: 5970, mmio: 310 },
  console: { outputBytes: 1, inputBytes: 0, inputDropped: 0 },
  cpu: {},
};

describe("cli render: summary", () => {
  it("is plain columns with everything that was counted", () => {
    expect(renderSummary(summary, styleFor({}, {}))).toBe(
      [
        "Timeline",
        "  machine created  1.3 ms",
        "  power off        1.55 s  298.2 M instructions",
        "",
        "Guest",
        "  instructions  298.2 M at 200.7 MIPS",
        "  time          1.50 s, 2% of it idle",
        "  exits         5,970 hypercalls, 310 MMIO, 184 RTAS calls",
        "",
        "TCE hypercalls",
        "               user space",
        "  H_PUT_TCE             6",
        "  H_STUFF_TCE       1,512",
        "  all in user space: not accelerated without -enable-kvm",
        "",
        "DMA mapping",
        "  map      22  1 refused",
        "  unmap    20  0 refused",
        "  windows   1  0 removed",
        "  ! MAP_DMA: ENOMEM",
        "",
        "Devices",
        "  disk in slot 1",
        "  ! SET_IRQS: EBUSY",
        "  scsi at unit 0x71000003: 1,078 SCSI commands, 2,162,688 bytes read, 1,048,576 written",
        "",
        "Interrupts",
        "  disk  63",
        "  epow   1",
      ].join("\n"),
    );
  });

  it("tells of combined writes where there were any", () => {
    const text = renderSummary({ ...summary, exits: { ...summary.exits, burst: 1234 } }, styleFor({}, {}));
    expect(text).toContain("  exits         5,970 hypercalls, 310 MMIO, 1,234 combined writes, 184 RTAS calls\n");
  });

  it("shows under KVM which stage answered", () => {
    const tce = { realMode: { H_PUT_TCE: 0 }, virtualMode: { H_PUT_TCE: 1200 }, userSpace: { H_PUT_TCE: 6 } };
    const text = renderSummary(
      { ...summary, accelerator: "kvm", kernelHypercalls: { H_CEDE: 9, H_PUT_TCE: 1200 }, tce },
      styleFor({}, {}),
    );
    expect(text).toContain("  in KVM        1,209 hypercalls answered without an exit\n");
    expect(text).toContain(
      "TCE hypercalls\n             real mode  virtual mode  user space\n  H_PUT_TCE          0         1,200           6\n",
    );
  });

  it("says for VIO, emulated and passed-through devices alike who answers, and why it is not KVM", () => {
    const windows: PseriesSummary["windows"] = [
      { liobn: 0x7100_0001, use: "vio", open: true, inKernel: true, userCalls: 0 },
      { liobn: 0x7100_0002, use: "vio", open: true, inKernel: true, userCalls: 0 },
      {
        liobn: 0x8000_0000,
        use: "vfio",
        open: true,
        inKernel: false,
        reason: "switched off by vfio-accel=off",
        userCalls: 6,
      },
      { liobn: 0x8000_0001, use: "emulated", open: false, inKernel: false, reason: "no memory", userCalls: 0 },
    ];
    const text = renderSummary({ ...summary, accelerator: "kvm", windows }, styleFor({}, {}));
    expect(text).toContain(
      [
        "  VIO devices: answered by KVM (0x71000001, 0x71000002)",
        "  passed-through devices: not accelerated: switched off by vfio-accel=off (0x80000000)",
        "  emulated PCI devices: not accelerated: no memory (0x80000001)",
      ].join("\n"),
    );
    const idle = { ...summary, windows, tce: { userSpace: { H_PUT_TCE: 0 } } };
    expect(renderSummary(idle, styleFor({}, {}))).not.toContain("TCE hypercalls");
  });

  it("shows every stage that counts TCE calls, and no section without content", () => {
    const stages = { realMode: { H_PUT_TCE: 5 }, virtualMode: {}, userSpace: { H_PUT_TCE: 1 } };
    const text = renderSummary(
      { ...summary, tce: stages, dma: [], devices: [], vio: [], interrupts: {} },
      styleFor({}, {}),
    );
    expect(text).toContain(
      "             real mode  virtual mode  user space\n  H_PUT_TCE          5             0           1",
    );
    expect(text).not.toMatch(/DMA mapping|Devices|Interrupts/);
  });
});

describe("cli render: summary of machine pc", () => {
  const pc: PcSummary = {
    machine: "pc",
    accelerator: "kvm",
    cpus: 2,
    timeline: [
      { name: "threads started", ms: 61.2, instructions: 0 },
      { name: "power off", ms: 2310, instructions: 0 },
    ],
    runMs: 2100,
    domains: [
      { name: "default", functions: ["0000:02:00.0", "0000:03:00.0"], mappedBytes: 2 ** 30, enforcesSnoop: true },
      { name: "descriptor 8", functions: ["0000:04:00.0"], mappedBytes: 2 ** 30, enforcesSnoop: false },
      { name: "iommufd i0", functions: ["0000:05:00.0"], mappedBytes: 2 ** 30, enforcesSnoop: null },
    ],
    kvmDma: { nonCoherent: true, ramType: "guest-pat", wbinvd: true },
    devices: [
      { name: "disk", slot: 1, problems: [], directBytes: 16384 },
      { name: "dev1", slot: 2, problems: ["the host took it back while the guest ran"] },
    ],
    interrupts: { lines: 1204, messages: 0, lost: 1 },
    exits: { ports: 51234, memory: 310, interrupted: 12 },
    unclaimed: { ports: 40, memory: 0 },
    problems: ["KVM does not take group 3: EEXIST"],
    console: { outputBytes: 1, inputBytes: 0, inputDropped: 0 },
  };

  it("is plain columns with everything that was counted", () => {
    expect(renderSummary(pc, styleFor({}, {}))).toBe(
      [
        "Timeline",
        "  threads started   61 ms",
        "  power off        2.31 s",
        "",
        "Guest",
        "  CPUs       2, in KVM",
        "  time       2.10 s",
        "  exits      51,234 ports, 310 memory, 12 interrupted",
        "  unclaimed  40 port accesses, 0 memory accesses",
        "  ! KVM does not take group 3: EEXIST",
        "",
        "IOMMU domains",
        "  default: 0000:02:00.0, 0000:03:00.0; 1,024 MiB of RAM pinned, DMA always snoops",
        "  descriptor 8: 0000:04:00.0; 1,024 MiB of RAM pinned, DMA may not snoop",
        "  iommufd i0: 0000:05:00.0; 1,024 MiB of RAM pinned",
        "  KVM counts its DMA as non-coherent; the guest's PAT decides the type of its RAM; its WBINVD empties caches",
        "",
        "Devices",
        "  disk in slot 1, 16,384 bytes of BARs without exits",
        "  dev1 in slot 2",
        "  ! the host took it back while the guest ran",
        "",
        "Interrupts from this program",
        "  lines     1,204",
        "  lost          1",
        "  messages      0",
      ].join("\n"),
    );
  });

  it("tells how long it took from Node's being up to the first guest instruction, where both are known", () => {
    const marks = [
      { name: "Node is up", ms: 41.5, instructions: 0 },
      { name: "guest entered", ms: 201.5, instructions: 0 },
    ];
    const text = (timeline: typeof marks) => renderSummary({ ...pc, timeline }, styleFor({}, {}));
    expect(text(marks)).toContain("\n  guest entered  202 ms\n  first guest instruction 160 ms after Node was up\n");
    for (const mark of marks) expect(text([mark])).not.toContain("first guest instruction");
  });

  it("has no section without content", () => {
    const text = renderSummary({ ...pc, domains: [], devices: [], interrupts: {}, problems: [] }, styleFor({}, {}));
    expect(text).not.toMatch(/IOMMU domains|Devices|Interrupts|!/);
  });
});

describe("cli render: style", () => {
  it("has colours on a terminal only, and not against the user's wish", () => {
    expect(styleFor({ isTTY: true }, {}).good("x")).toBe("\x1b[32mx\x1b[39m");
    expect(styleFor({ isTTY: false }, {}).good("x")).toBe("x");
    expect(styleFor({ isTTY: true }, { NO_COLOR: "1" }).bold("x")).toBe("x");
    expect(styleFor({ isTTY: true }, { TERM: "dumb" }).bold("x")).toBe("x");
    expect(styleFor({ isTTY: true }, { NO_COLOR: "" }).colour).toBe(true);
    expect(styleFor({}, { FORCE_COLOR: "1" }).colour).toBe(true);
    expect(styleFor({}, { FORCE_COLOR: "1", NO_COLOR: "1" }).colour).toBe(false);
  });
});

describe("cli render: numbers and columns", () => {
  it("choose the unit that fits", () => {
    expect([large(999), large(123_456), large(5.2e9)]).toEqual(["999", "0.1 M", "5.20 G"]);
    expect([duration(0.26), duration(412), duration(12_340)]).toEqual(["0.3 ms", "412 ms", "12.34 s"]);
  });

  it("align cells and end lines at their last character", () => {
    expect(
      columns(
        [{ title: "A" }, { title: "N", align: "right" }],
        [
          ["long", "1"],
          ["x", ""],
        ],
      ),
    ).toEqual(["A     N", "long  1", "x"]);
  });
});

describe("cli render: progress", () => {
  it("is a bar on a terminal and lines elsewhere", () => {
    const plain = new Capture();
    const lines = progressOn(plain);
    lines.step("fetching");
    for (const share of [0.1, 0.3, 0.4, 0.8, 1]) lines.update(share);
    lines.done();
    expect(plain.text).toBe("  fetching\n  fetching 25%\n  fetching 75%\n");
    const terminal = Object.assign(new Capture(true), { columns: 80, cursorTo() {}, moveCursor() {}, clearLine() {} });
    const bar = progressOn(terminal);
    bar.step("fetching");
    bar.update(0.5);
    bar.stop();
    bar.stop();
    expect(terminal.text).toContain("fetching");
  });
});
