// `minivmm reset` in the rig: a slot of five functions is reset as one when all of them are owned, and is left alone,
// with the one that is not owned named, when one has no driver or another's.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SLOT } from "./cases.ts";
import { makeDisks } from "./disks.ts";
import { type Done, MINIVMM, runSteps } from "./machine.ts";

const ASKED = SLOT[0] as string;
const OTHER = SLOT[3] as string;
const SECONDS = 60;
const step = (name: string, command: string) => ({ name, command, seconds: SECONDS });

describe("vmm: hot reset of a slot on a real kernel", () => {
  const work = mkdtempSync(join(tmpdir(), "minivmm-rig-"));
  afterAll(() => rmSync(work, { recursive: true }));
  const found = new Map<string, Done>();
  const text = (name: string): string => (found.get(name)?.lines ?? []).map((line) => line.text).join("\n");

  beforeAll(async () => {
    const machine = {
      kernel: process.env.MINIVMM_RIG_KERNEL ?? "6.12",
      options: ["--node", ...makeDisks(work)],
      prepare: `rig-bind vfio-pci ${SLOT.join(" ")}`,
    };
    const run = `${MINIVMM} reset run ${ASKED}`;
    const steps = [
      step("plan", `${MINIVMM} reset plan ${ASKED}`),
      step("owned", run),
      step("no driver", `rig-bind none ${OTHER} && ${run}`),
      step("another driver", `rig-bind pci-stub ${OTHER} && ${run}`),
      step("owned again", `rig-bind vfio-pci ${OTHER} && ${run}`),
    ];
    for (const done of await runSteps(machine, steps, () => {})) {
      found.set(done.name, done);
      console.log(`reset, ${done.name}: status ${done.status}, ${done.seconds.toFixed(1)} s\n${text(done.name)}`);
    }
  });

  it("is planned for all five functions", () => {
    expect(found.get("plan")?.status).toBe(0);
    for (const each of SLOT) expect(text("plan")).toContain(each);
  });

  it.each(["owned", "owned again"])("is done when all are %s", (name) => {
    expect(text(name)).toContain(ASKED);
    expect(found.get(name)?.status).toBe(0);
  });

  it.each(["no driver", "another driver"])("is refused when one function has %s, which is named", (name) => {
    expect(found.get(name)?.status).toBe(1);
    expect(text(name)).toContain(`${ASKED} was not reset`);
    expect(text(name)).toContain(OTHER);
  });
});
