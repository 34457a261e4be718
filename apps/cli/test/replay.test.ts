// `minivmm replay` as a user meets it.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cli, temporaryFolder } from "./helpers.ts";

const META = {
  meta: {
    rig: "full",
    release: "6.12.1",
    devices: [{ name: "edu0", bdf: "0000:05:00.0", group: 5, driver: "vfio-pci" }],
  },
};

function recording(name: string, ret: number): string {
  const path = join(temporaryFolder(), name);
  const steps = [
    { case: "container.version", begin: "the version" },
    { case: "container.version", step: "0", do: { op: "open", path: "/dev/vfio/vfio", as: "C" }, ret: "fd" },
    {
      case: "container.version",
      step: "1",
      do: { op: "ioctl", fd: "C", cmd: "VFIO_GET_API_VERSION", val: 0 },
      ret,
    },
  ];
  writeFileSync(path, [META, ...steps].map((line) => JSON.stringify(line)).join("\n"));
  return path;
}

const ON = ["--host", "model:desktop"];

describe("cli replay", () => {
  it("ends with the sum, and with status 0 when everything agrees", async () => {
    const { status, stdout, stderr } = await cli(["replay", ...ON, recording("good.jsonl", 0)]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toBe("good.jsonl  2 steps on modelled desktop\n1 passed, 0 failed\n");
  });

  it("tells case, step, expected and got of a difference, and ends with status 1", async () => {
    const { status, stdout } = await cli(["replay", recording("bad.jsonl", 7), ...ON]);
    expect(status).toBe(1);
    expect(stdout).toContain("differs container.version\n    step 1  ");
    expect(stdout).toContain("expected 7, got 0\n");
    expect(stdout).toMatch(/\n0 passed, 1 failed\n$/);
  });

  it("sums up several files; JSON has the differences", async () => {
    const files = [recording("good.jsonl", 0), recording("bad.jsonl", 7)];
    const { status, stdout } = await cli(["replay", "--json", ...ON, ...files]);
    expect(status).toBe(1);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ passed: 1, failed: 1, skipped: 0 });
    expect(report.reports[1].cases[0].differences).toEqual([
      expect.objectContaining({ case: "container.version", step: "1", field: "ret", expected: "7", got: "0" }),
    ]);
  });

  it("plays the shipped recordings when no file is given, only the cases asked for", async () => {
    const { status, stdout } = await cli(["replay", "--case", "container.version", "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout).passed).toBeGreaterThanOrEqual(2);
  });

  it.each<[string, () => string[], RegExp]>([
    ["a missing file", () => ["/nowhere.jsonl"], /^minivmm: replay: .*cannot be read\n.*hint:/s],
    [
      "a file of something else",
      () => {
        const path = join(temporaryFolder(), "x.jsonl");
        writeFileSync(path, '{"hello":1}\n');
        return [path];
      },
      /x\.jsonl line 1 is no line of a recording/,
    ],
    ["an unknown host", () => ["-host", "model:nowhere"], /unknown modelled host "nowhere"/],
    ["an unknown case", () => [...ON, "--case", "nothing.like.it"], /no case is called nothing\.like\.it/],
  ])("%s is a mistake of the caller: one line, a hint, status 2", async (_title, words, message) => {
    const { status, stderr } = await cli(["replay", ...words()]);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
    expect(stderr).toContain("hint:");
    expect(stderr).not.toContain("    at ");
  });
});
