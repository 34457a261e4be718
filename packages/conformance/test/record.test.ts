import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  ConformanceError,
  loadRecording,
  type Machine,
  modelMachine,
  parseCases,
  parseRecording,
  type Recording,
  recordCases,
  replayRecording,
} from "../src/index.ts";
import { moreCases } from "../src/rig/more/index.ts";
import type { X86Case } from "../src/x86/format.ts";

const FAMILIES =
  /^(container\.two|group\.open\.child|unmap\.part\.type6\.1|irq\.args|mmap\.bar|dirty\.get|hot\.info\.mf0)$/;
const recorded = x86Cases(loadRecording(new URL("../recordings/x86-6.12.jsonl.gz", import.meta.url)));
const chosen = recorded.filter(({ name }) => FAMILIES.test(name));

function x86Cases({ cases }: Recording): X86Case[] {
  return cases.filter((each) => each.format === "x86");
}

/** Lines with steps alone. */
function stepsOnly(cases: readonly X86Case[]): string {
  const { machine } = cases[0] as X86Case;
  const lines: unknown[] = [{ meta: machine }];
  for (const { name, why, steps } of cases) {
    lines.push({ case: name, begin: why });
    for (const { step, do: action, children } of steps) {
      lines.push({ case: name, step, do: action });
      for (const child of children) lines.push({ case: name, step: child.step, do: child.do });
    }
  }
  return lines.map((line) => JSON.stringify(line)).join("\n");
}

describe("conformance: recording", () => {
  test("conformance record: what is recorded on the model is what the kernel was recorded to answer", () => {
    expect(chosen).toHaveLength(7);
    const { text, cases, refused } = recordCases(parseCases("steps", stepsOnly(chosen)), modelMachine());
    expect([cases, refused]).toEqual([7, []]);
    const again = x86Cases(parseRecording("again", text));
    const outcomes = ({ name, steps }: X86Case): unknown[] =>
      steps.flatMap(({ step, ret, errno, children }) => [
        [name, step, ret, errno],
        ...children.map((child) => [name, child.step, child.ret, child.errno]),
      ]);
    expect(again.map(outcomes)).toEqual(chosen.map(outcomes));
    expect(replayRecording(parseRecording("again", text), modelMachine())).toMatchObject({ passed: 7, failed: 0 });
  });

  test("conformance record: outcomes that were there are replaced", () => {
    const wrong = stepsOnly(chosen).replaceAll(/("do":\{"op":"open".*\})\}$/gm, '$1,"ret":-1,"errno":1}');
    const { text } = recordCases(parseCases("wrong", wrong), modelMachine());
    expect(replayRecording(parseRecording("right", text), modelMachine()).failed).toBe(0);
  });

  test("conformance record: a case that cannot be played leaves a reason and no line", () => {
    const lines = [
      { meta: chosen[0]?.machine },
      { case: "odd", begin: "an unknown step" },
      { case: "odd", step: "0", do: { op: "levitate" } },
    ];
    const cases = parseCases("odd", lines.map((line) => JSON.stringify(line)).join("\n"));
    expect(recordCases(cases, modelMachine())).toEqual({
      text: "",
      cases: 0,
      refused: [{ name: "odd", reason: expect.stringContaining("levitate") }],
    });
    const elsewhere: Machine = { name: "elsewhere", enter: () => ({ skip: "another kernel" }) };
    expect(recordCases(cases, elsewhere).refused).toEqual([{ name: "odd", reason: "another kernel" }]);
    const crashing: Machine = {
      name: "crashing",
      enter: () => ({ skip: "never" }),
      isolated: () => {
        throw new ConformanceError("it crashed", { code: "CASE_CRASHED" });
      },
    };
    expect(recordCases(cases, crashing).refused).toEqual([{ name: "odd", reason: "it crashed" }]);
    const report = replayRecording({ name: "odd", cases }, crashing);
    expect(report.cases[0]?.differences).toMatchObject([{ case: "odd", got: "it crashed" }]);
  });
});

describe("conformance: cases made from recorded ones", () => {
  test("conformance more: names are new and different, steps are the same each time, devices are all replaced", () => {
    const parts = [...moreCases(recorded).values()];
    const names = parts.flat().map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const known = new Set(recorded.map(({ name }) => name));
    expect(names.filter((name) => known.has(name))).toEqual([]);
    expect([...moreCases(recorded).values()]).toEqual(parts);
    const nic = parts.flat().find(({ name }) => name === "device.info.nic1");
    expect(JSON.stringify(nic?.steps)).toMatch(/@group:nic1.*@bdf:nic1/);
    expect(JSON.stringify(nic?.steps)).not.toMatch(/edu0|nvme0/);
  });

  test("conformance more: shipped recordings of them are of cases that are made", () => {
    const made = new Set([...moreCases(recorded).values()].flat().map(({ name }) => name));
    const file = new URL("../recordings/x86-6.12-more.jsonl.gz", import.meta.url);
    expect(readFileSync(file).length).toBeGreaterThan(0);
    expect(loadRecording(file).cases.filter(({ name }) => !made.has(name))).toEqual([]);
  });
});
