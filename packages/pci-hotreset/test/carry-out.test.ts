// A surveyed reset carried out: what it opens, what it hits, what it leaves behind; and what stops it before.
import { VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import { attach } from "../../vfio-core/test/fixture.ts";
import { carryOutHotReset, HotResetError, surveyHotReset } from "../src/index.ts";
import { CARD, groupOf, HOTPLUG, openDescriptors, PORTS, ROOT, type SlotHost, slotHost } from "./slot-host.ts";

/** Makes memory behind BAR 0 that a reset clears differ from what a reset leaves. */
function mark({ topology }: SlotHost, bdf: string): () => number {
  const fn = topology.get(bdf);
  fn.device.writeBar(0, 0x40, 4, 0xfeed, 0);
  const out = new Uint32Array(2);
  return () => {
    fn.device.readBar(0, 0x40, 4, out);
    return out[0] as number;
  };
}

/** Nothing is left open, and every group can be had by the next process. */
function expectReleased(host: SlotHost, bdfs: readonly string[]): void {
  expect(openDescriptors(host.process)).toBe(0);
  for (const id of new Set(bdfs.map((bdf) => groupOf(host, bdf)))) VfioGroup.open(host.kernel.spawn(), id).close();
}

describe("pci-hotreset carry-out", () => {
  it.each(["6.12", "6.1", "4.12"] as const)(
    "pci-hotreset: resets a whole card on %s and closes everything",
    (profile) => {
      const host = slotHost({ profile });
      const marks = CARD.map((bdf) => mark(host, bdf));
      const report = carryOutHotReset(host.process, surveyHotReset(host.process, CARD[1]));
      expect(report).toMatchObject({ status: "done", error: null, groups: [groupOf(host, CARD[0])] });
      expect(report.functions).toEqual(CARD.map((bdf) => ({ bdf, outcome: "reset", changed: [] })));
      expect(marks.map((read) => read())).toEqual([0, 0, 0]);
      expectReleased(host, CARD);
    },
  );

  it("pci-hotreset: holds the groups of all functions of the slot", () => {
    const host = slotHost();
    const marks = PORTS.map((bdf) => mark(host, bdf));
    const report = carryOutHotReset(host.process, surveyHotReset(host.process, PORTS[0]));
    expect(report.groups).toEqual(PORTS.map((bdf) => groupOf(host, bdf)));
    expect(report.functions.map(({ outcome }) => outcome)).toEqual(["reset", "reset"]);
    expect(marks.map((read) => read())).toEqual([0, 0]);
    expectReleased(host, PORTS);
  });

  it("pci-hotreset: uses what the caller holds and leaves it as it was", () => {
    const host = slotHost();
    const { process } = host;
    const { container, group } = attach(process, PORTS[0]);
    const owned = [group];
    const report = carryOutHotReset(process, surveyHotReset(process, PORTS[0], { owned }), { owned });
    expect(report.status).toBe("done");
    expect(group.status()).toEqual({ viable: true, containerSet: true });
    group.unsetContainer();
    container.close();
    // Held without a container: it gets one for the time of the reset.
    expect(carryOutHotReset(process, surveyHotReset(process, PORTS[0], { owned }), { owned }).status).toBe("done");
    expect(group.status()).toEqual({ viable: true, containerSet: false });
    group.close();
    expectReleased(host, PORTS);
  });

  it("pci-hotreset: a dry run opens and attaches, but no register changes", () => {
    const host = slotHost();
    const marks = CARD.map((bdf) => mark(host, bdf));
    const config = () => host.topology.functions.map((fn) => [...fn.config.bytes].join());
    const before = config();
    const report = carryOutHotReset(host.process, surveyHotReset(host.process, CARD[0]), { dryRun: true });
    expect(report).toMatchObject({ status: "dry-run", ms: null, error: null });
    expect(report.functions.map(({ outcome }) => outcome)).toEqual(["untouched", "untouched", "untouched"]);
    expect(marks.map((read) => read())).toEqual([0xfeed, 0xfeed, 0xfeed]);
    expect(config()).toEqual(before);
    expectReleased(host, CARD);
  });

  it.each([
    ["unbound", (host: SlotHost) => host.core.unbind(CARD[2])],
    ["held by a host driver", (host: SlotHost) => host.core.unbind(CARD[2]) || host.core.bind(CARD[2], "e1000e")],
  ])("pci-hotreset: refuses before anything is opened when one function is %s", (_what, prepare) => {
    const host = slotHost();
    expect(prepare(host)).toBe(0);
    const read = mark(host, CARD[0]);
    const survey = surveyHotReset(host.process, CARD[0]);
    const error = caught(() => carryOutHotReset(host.process, survey));
    expect(error).toMatchObject({ code: "BLOCKED" });
    expect(error.message).toContain(CARD[2]);
    expect(error.hint).toMatch(/^(Bind|Take) /);
    expect(read()).toBe(0xfeed);
    expectReleased(host, CARD);
  });

  it("pci-hotreset: a group that is taken between survey and reset", () => {
    const host = slotHost();
    const survey = surveyHotReset(host.process, PORTS[0]);
    const other = VfioGroup.open(host.kernel.spawn(), groupOf(host, PORTS[1]));
    expect(caught(() => carryOutHotReset(host.process, survey))).toMatchObject({ code: "NOT_OWNED", errno: 16 });
    other.close();
    expectReleased(host, PORTS);
  });

  it("pci-hotreset: a driver that changes between survey and reset", () => {
    const host = slotHost();
    const survey = surveyHotReset(host.process, CARD[0]);
    host.core.unbind(CARD[1]);
    expect(caught(() => carryOutHotReset(host.process, survey))).toMatchObject({ code: "BLOCKED" });
    expectReleased(host, CARD);
  });

  it("pci-hotreset: a locked function: the kernel does nothing, and that is reported", () => {
    const host = slotHost();
    const survey = surveyHotReset(host.process, CARD[0]);
    host.topology.get(CARD[2]).locked = true;
    const read = mark(host, CARD[1]);
    const report = carryOutHotReset(host.process, survey);
    expect(report).toMatchObject({ status: "failed", error: { errno: 11 } });
    expect(report.error?.hint).toContain("try again");
    expect(report.functions.map(({ outcome }) => outcome)).toEqual(["untouched", "untouched", "untouched"]);
    expect(read()).toBe(0xfeed);
    host.topology.get(CARD[2]).locked = false;
    expectReleased(host, CARD);
  });

  it("pci-hotreset: a function that does not come back", () => {
    const host = slotHost();
    const fn = host.topology.get(HOTPLUG);
    const survey = surveyHotReset(host.process, HOTPLUG);
    const reset = fn.device.reset.bind(fn.device);
    let resets = 0;
    fn.device.reset = (kind) => {
      reset(kind);
      // The first one is the kernel's trial when the device is opened.
      if (++resets === 2) fn.responding = false;
    };
    const report = carryOutHotReset(host.process, survey);
    expect(report.status).toBe("failed");
    expect(report.error).toMatchObject({ code: "REFUSED", errno: 25 });
    expect(report.functions).toEqual([{ bdf: HOTPLUG, outcome: "lost", changed: [] }]);
    expectReleased(host, [HOTPLUG]);
  });

  it("pci-hotreset: nothing to reset on a root bus", () => {
    const { process } = slotHost();
    const error = caught(() => carryOutHotReset(process, surveyHotReset(process, ROOT)));
    expect(error.message).toMatch(/root bus/);
    expect(openDescriptors(process)).toBe(0);
  });
});

function caught(run: () => unknown): HotResetError {
  try {
    run();
  } catch (error) {
    if (error instanceof HotResetError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
