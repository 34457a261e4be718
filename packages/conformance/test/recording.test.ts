// Reading recordings: both forms, and what is refused with its line.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { ConformanceError, loadRecording, parseRecording, shippedRecordings } from "../src/index.ts";

const META = {
  meta: {
    rig: "full",
    release: "6.12.117-amd64",
    devices: [
      { name: "edu0", bdf: "0000:00:01.0", group: 1, driver: "vfio-pci" },
      { name: "br0", bdf: "0000:03:00.0", group: -1, driver: "none" },
    ],
  },
};
const BEGIN = { case: "a.b", begin: "why" };
const text = (...lines: object[]): string => lines.map((line) => JSON.stringify(line)).join("\n");

function refusal(run: () => unknown): ConformanceError {
  try {
    run();
  } catch (error) {
    if (error instanceof ConformanceError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("conformance recording: the x86 form", () => {
  it("knows the machine, and puts the steps of a child below the step that made it", () => {
    const step = (name: string, op: string) => ({ case: "a.b", step: name, do: { op }, ret: 0 });
    const recording = parseRecording(
      "x.jsonl",
      text(META, BEGIN, step("0", "child"), step("1", "wait"), step("0.0", "close"), step("0.1", "vmlck")),
    );
    expect(recording.cases).toHaveLength(1);
    const [only] = recording.cases;
    expect(only?.machine).toEqual({
      arch: "x86_64",
      rig: "full",
      release: "6.12.117-amd64",
      pageSize: 4096,
      devices: [
        { name: "edu0", bdf: "0000:00:01.0", group: 1, driver: "vfio-pci" },
        { name: "br0", bdf: "0000:03:00.0", group: null, driver: null },
      ],
      used: [],
    });
    if (only?.format !== "x86") throw new Error("the wrong form");
    expect(only.steps.map(({ step, children }) => [step, children.map((each) => each.do.op)])).toEqual([
      ["0", ["close", "vmlck"]],
      ["1", []],
    ]);
  });
});

describe("conformance recording: what happened before a case", () => {
  it("tells which of its devices earlier cases have used since the machine was booted", () => {
    const named = (name: string, dev: string) => [
      { case: name, begin: "why" },
      {
        case: name,
        step: "0",
        do: { op: "ioctl", cmd: "VFIO_GROUP_GET_DEVICE_FD", fd: "G", str: `@bdf:${dev}` },
        ret: "fd",
      },
    ];
    const recording = parseRecording(
      "x.jsonl",
      text(META, ...named("a", "edu0"), ...named("b", "br0"), ...named("c", "edu0"), META, ...named("d", "edu0")),
    );
    expect(recording.cases.map(({ name, machine }) => [name, machine.used])).toEqual([
      ["a", []],
      ["b", []],
      ["c", ["edu0"]],
      ["d", []],
    ]);
  });
});

describe("conformance recording: the POWER form", () => {
  it("keeps steps of a second process in their order, marked", () => {
    const step = (name: string, number: number) => ({ case: name, step: number, call: "closed", ret: 0 });
    const recording = parseRecording(
      "ps-4k.jsonl",
      text({ case: "#header", page_size: 4096, groups: [0, 1] }, step("a", 1), step("a#child", 2), step("a", 3)),
    );
    const [only] = recording.cases;
    if (only?.format !== "ppc") throw new Error("the wrong form");
    expect(only.steps.map(({ child }) => child)).toEqual([false, true, false]);
    expect(only.machine).toMatchObject({ rig: "ps", pageSize: 4096, arch: "ppc64le" });
  });
});

describe("conformance recording: which POWER machine", () => {
  const rigOf = (name: string, groups: number[], out: object = {}): string | undefined => {
    const step = { case: "a", step: 1, call: "VFIO_IOMMU_SPAPR_TCE_GET_INFO", ret: 0, out };
    return parseRecording(name, text({ case: "#header", page_size: 65536, groups }, step)).cases[0]?.machine.rig;
  };

  it("by the file's name, else by its groups and its default window", () => {
    expect(rigOf("pnv10-4k.jsonl.gz", [0, 1, 2, 3, 3])).toBe("pnv10");
    expect(rigOf("ps-4k.jsonl", [0, 1, 2, 3, 3])).toBe("ps");
    expect(rigOf("unnamed.jsonl", [0, 1, 2, 3, 3], { dma32_window_size: "0x80000000" })).toBe("pnv9");
    expect(rigOf("unnamed.jsonl", [0, 1, 2, 3, 3], { dma32_window_size: "0x40000000" })).toBe("ps");
    expect(rigOf("unnamed.jsonl", [0, 1, 2, 2, 2])).toBe("pnv8");
  });
});

describe("conformance recording: what is refused", () => {
  const cases: [string, string, number, RegExp][] = [
    ["an empty file", "", 1, /the file is empty/],
    ["a file of something else", text({ hello: 1 }), 1, /neither "meta" nor/],
    ["a line that is not JSON", `${text(META)}\n{"case":`, 2, /not JSON/],
    ["a line that is no object", `${text(META)}\n\n[1]`, 3, /not an object/],
    ["a step outside its case", text(META, BEGIN, { case: "c", step: "0", do: { op: "x" }, ret: 0 }), 3, /outside/],
    ["a step without an operation", text(META, BEGIN, { case: "a.b", step: "0", do: {}, ret: 0 }), 3, /do\.op/],
    ["a header without a page size", text({ case: "#header", groups: [] }), 1, /page size/],
  ];
  it.each(cases)("%s", (_title, content, line, message) => {
    const error = refusal(() => parseRecording("x.jsonl", content));
    expect(error.code).toBe("RECORDING_FORMAT");
    expect(error.message).toMatch(message);
    expect(error.details).toMatchObject({ file: "x.jsonl", line });
    expect(error.hint).toBeTruthy();
  });

  it("any text is read or refused with a ConformanceError, never anything else", () => {
    const line = fc.oneof(
      fc.json(),
      fc.constantFrom(text(META), text(BEGIN), text({ case: "#header", page_size: 4096, groups: [] }), "", "{"),
      fc
        .record({ case: fc.constantFrom("a.b", "#header"), step: fc.anything(), do: fc.anything(), ret: fc.anything() })
        .map((each) => JSON.stringify(each) ?? ""),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), (lines) => {
        try {
          parseRecording("x.jsonl", lines.join("\n"));
        } catch (error) {
          expect(error).toBeInstanceOf(ConformanceError);
        }
      }),
    );
  });
});

describe("conformance recording: files", () => {
  const folder = mkdtempSync(join(tmpdir(), "minivmm-recording-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  it("gzipped or not makes no difference", () => {
    const content = text(META, BEGIN);
    writeFileSync(join(folder, "a.jsonl"), content);
    writeFileSync(join(folder, "a.jsonl.gz"), gzipSync(content));
    expect(loadRecording(join(folder, "a.jsonl.gz")).cases).toEqual(loadRecording(join(folder, "a.jsonl")).cases);
  });

  it("a missing file and a damaged one say so", () => {
    expect(refusal(() => loadRecording(join(folder, "none"))).code).toBe("RECORDING_UNREADABLE");
    writeFileSync(join(folder, "bad.gz"), new Uint8Array([0x1f, 0x8b, 8, 0, 1, 2, 3]));
    expect(refusal(() => loadRecording(join(folder, "bad.gz"))).message).toMatch(/does not unpack/);
  });

  it("the shipped ones are read", () => {
    const names = shippedRecordings()
      .map((file) => loadRecording(file))
      .map(({ name, cases }) => [name, cases.length > 0]);
    expect(names).toContainEqual(["x86-6.12.jsonl.gz", true]);
    expect(names.every(([, some]) => some)).toBe(true);
  });
});
