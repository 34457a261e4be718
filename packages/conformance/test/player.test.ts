// The player itself: a right recording passes on the model, every kind of wrong one is told.
import { describe, expect, it } from "vitest";
import { modelMachine, parseRecording, replayRecording } from "../src/index.ts";

const META = {
  meta: {
    rig: "full",
    release: "6.12.1",
    devices: [{ name: "edu0", bdf: "0000:05:00.0", group: 5, driver: "vfio-pci" }],
  },
};

type Step = [doing: object, ret: number | "fd", more?: object | undefined];

/** Plays steps on the ready-made host "desktop". */
function play(...steps: Step[]) {
  const lines = [META, { case: "c", begin: "why" }].map((line) => JSON.stringify(line));
  const numbered = steps.map(([doing, ret, more], i) => ({ case: "c", step: String(i), do: doing, ret, ...more }));
  const text = [...lines, ...numbered.map((line) => JSON.stringify(line))].join("\n");
  return replayRecording(parseRecording("test.jsonl", text), modelMachine({ host: "desktop" }));
}

const OPEN: Step = [{ op: "open", path: "/dev/vfio/vfio", as: "C" }, "fd"];
const version = (ret: number, more?: object): Step => [
  { op: "ioctl", fd: "C", cmd: "VFIO_GET_API_VERSION", val: 0 },
  ret,
  more,
];

describe("conformance player", () => {
  it("passes what agrees", () => {
    expect(play(OPEN, version(0))).toMatchObject({ passed: 1, failed: 0, skipped: 0 });
  });

  it.each<[string, Step[], string, string, string]>([
    ["a wrong result", [OPEN, version(1)], "ret", "1", "0"],
    ["a wrong errno", [OPEN, version(-1, { errno: 22 })], "ret", "EINVAL", "0"],
    [
      "a signal that does not come",
      [
        [{ op: "mmap", as: "M", size: 4096 }, 0],
        [{ op: "peek", at: "&M", width: 4 }, -1, { signal: 7 }],
      ],
      "ret",
      "signal 7",
      "0",
    ],
    [
      "a wrong field",
      [
        [{ op: "eventfd", as: "E", init: 3 }, "fd"],
        [{ op: "evread", fd: "E", ms: 0 }, 8, { out: { count: 2 } }],
      ],
      "count",
      "2",
      "3",
    ],
    ["a field that does not come", [OPEN, version(0, { out: { x: 1 } })], "x", "1", "nothing"],
    ["an unknown step", [[{ op: "dance" }, 0]], "ret", "0", 'not played: no step is called "dance"'],
    [
      "an unknown ioctl",
      [OPEN, [{ op: "ioctl", fd: "C", cmd: "NOPE", val: 0 }, 0]],
      "ret",
      "0",
      "not played: the recording names an unknown ioctl, NOPE",
    ],
  ])("tells %s", (_title, steps, field, expected, got) => {
    const report = play(...steps);
    expect(report.failed).toBe(1);
    expect(report.cases[0]?.differences).toMatchObject([{ case: "c", field, expected, got }]);
  });

  it("goes on after a difference", () => {
    const report = play(OPEN, version(1), version(2));
    expect(report.cases[0]?.differences.map(({ step }) => step)).toEqual(["1", "2"]);
  });

  it("memory ends where `room` says", () => {
    const status = { op: "ioctl", fd: "C", cmd: "VFIO_IOMMU_GET_INFO" };
    const report = play(OPEN, [{ ...status, in: { argsz: 24 }, room: 4 }, -1, { errno: 22, out: { argsz: 24 } }]);
    expect(report.cases[0]?.differences).toEqual([]);
  });

  it("a child inherits descriptors, and what it closes stays open in its parent", () => {
    const [open] = [OPEN];
    const lines = [
      META,
      { case: "c", begin: "why" },
      { case: "c", step: "0", do: open[0], ret: "fd" },
      { case: "c", step: "1", do: { op: "child" }, ret: 0 },
      { case: "c", step: "1.0", do: version(0)[0], ret: 0 },
      { case: "c", step: "1.1", do: { op: "close", fd: "C" }, ret: 0 },
      { case: "c", step: "1.2", do: version(0)[0], ret: -1, errno: 9 },
      { case: "c", step: "2", do: version(0)[0], ret: 0 },
    ];
    const text = lines.map((line) => JSON.stringify(line)).join("\n");
    const report = replayRecording(parseRecording("test.jsonl", text), modelMachine({ host: "desktop" }));
    expect(report.cases[0]?.differences).toEqual([]);
    expect(report.cases[0]?.steps).toBe(6);
  });
});
