// The survey: possible or not, who is swept in, who owns them, what is missing; from sysfs and group nodes alone.
import { EPERM } from "@minivmm/host";
import { VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import { attach, openDevice } from "../../vfio-core/test/fixture.ts";
import { hotResetInfo, type Obstacle, surveyHotReset } from "../src/index.ts";
import {
  BELOW_BRIDGE,
  BESIDE_BRIDGE,
  CARD,
  FRAGILE,
  groupOf,
  HOTPLUG,
  INNER_BRIDGE,
  openDescriptors,
  PORTS,
  ROOT,
  slotHost,
} from "./slot-host.ts";

const brief = (obstacles: readonly Obstacle[]) => obstacles.map(({ code, bdf, group }) => [code, bdf ?? group]);

describe("pci-hotreset survey: reach", () => {
  it.each([
    ["a card of three functions", CARD[1], "bus", CARD, "0000:00:02.0"],
    ["a card whose functions have groups of their own", PORTS[0], "bus", PORTS, "0000:00:03.0"],
    ["a slot with a hotplug driver", HOTPLUG, "slot", [HOTPLUG], "0000:00:04.0"],
    ["a bus with another bridge", BESIDE_BRIDGE, "bus", [BESIDE_BRIDGE, INNER_BRIDGE, BELOW_BRIDGE], "0000:05:00.0"],
    ["a bus below a bridge below a bridge", BELOW_BRIDGE, "bus", [BELOW_BRIDGE], INNER_BRIDGE],
  ] as const)("pci-hotreset: %s", (_what, bdf, method, functions, bridge) => {
    const { process } = slotHost();
    const { reach } = surveyHotReset(process, bdf);
    expect(reach).toEqual({ method, functions, bridge, impossible: null, culprit: null });
  });

  it.each([...CARD, ...PORTS, HOTPLUG, BESIDE_BRIDGE, BELOW_BRIDGE])(
    "pci-hotreset: of %s is what the kernel tells whoever has it open",
    (bdf) => {
      const { process } = slotHost();
      const { functions } = surveyHotReset(process, bdf);
      const { device } = openDevice(process, bdf);
      expect(functions.map((each) => ({ bdf: each.bdf, group: each.group }))).toEqual(hotResetInfo(device));
    },
  );

  it("pci-hotreset: a root bus and a function that a bus reset loses have none, and their own way is named", () => {
    const { process, kernel } = slotHost();
    const root = surveyHotReset(process, ROOT);
    expect(root.reach).toMatchObject({ method: null, impossible: "ROOT_BUS", bridge: null, functions: [ROOT] });
    expect(brief(root.obstacles)).toEqual([["ROOT_BUS", ROOT]]);
    expect(root.obstacles[0]?.remedy).toBe("it has no reset of its own either: restart the machine");

    const fragile = surveyHotReset(process, FRAGILE);
    expect(fragile.reach).toMatchObject({ impossible: "NO_BUS_RESET", culprit: FRAGILE, bridge: "0000:00:05.0" });
    kernel.sysfs.file(`/sys/bus/pci/devices/${ROOT}/reset_method`, { read: () => "flr pm\n" });
    expect(surveyHotReset(process, ROOT).obstacles[0]).toMatchObject({
      remedy: "reset the function alone (flr, pm)",
      commands: [`echo 1 > /sys/bus/pci/devices/${ROOT}/reset`],
    });
  });

  it("pci-hotreset: a function alone may have ways that its card has not", () => {
    const { process } = slotHost();
    const methods = surveyHotReset(process, CARD[0]).functions.map((each) => each.resetMethods);
    expect(methods).toEqual([["flr", "pm", "bus"], ["pm"], []]);
  });

  it("pci-hotreset: an address without domain, in capitals, or of nothing", () => {
    const { process } = slotHost();
    expect(surveyHotReset(process, "01:00.1").bdf).toBe(CARD[1]);
    expect(() => surveyHotReset(process, "09:00.0")).toThrow(expect.objectContaining({ code: "NO_DEVICE" }));
  });
});

describe("pci-hotreset survey: obstacles", () => {
  it("pci-hotreset: none when everything is on vfio-pci and nobody else has the groups", () => {
    const { process } = slotHost();
    for (const bdf of [CARD[2], PORTS[1], HOTPLUG, BELOW_BRIDGE]) {
      const { obstacles, groups } = surveyHotReset(process, bdf);
      expect([bdf, obstacles]).toEqual([bdf, []]);
      expect(groups.map(({ state, viable }) => [state, viable])).toEqual(groups.map(() => ["free", true]));
    }
    expect(openDescriptors(process)).toBe(0);
  });

  it("pci-hotreset: an unbound function of the slot, with the commands that bind it", () => {
    const { process, core } = slotHost();
    core.unbind(CARD[1]);
    const survey = surveyHotReset(process, CARD[0]);
    expect(brief(survey.obstacles)).toEqual([["NOT_BOUND", CARD[1]]]);
    expect(survey.obstacles[0]?.remedy).toBe(`bind ${CARD[1]} to vfio-pci`);
    run(process, survey.obstacles[0]?.commands);
    expect(surveyHotReset(process, CARD[0]).obstacles).toEqual([]);
  });

  it("pci-hotreset: one that a host driver holds is said once, though its group is not viable either", () => {
    const { process, core } = slotHost();
    core.unbind(CARD[2]);
    core.bind(CARD[2], "e1000e");
    const survey = surveyHotReset(process, CARD[0]);
    expect(brief(survey.obstacles)).toEqual([["HELD", CARD[2]]]);
    expect(survey.groups[0]).toMatchObject({ state: "free", viable: false });
    expect(survey.obstacles[0]?.message).toContain("e1000e");
    run(process, survey.obstacles[0]?.commands);
    expect(surveyHotReset(process, CARD[0]).obstacles).toEqual([]);
  });

  it("pci-hotreset: pci-stub keeps nobody out of the group, but the kernel wants vfio-pci", () => {
    const { process, core } = slotHost();
    core.unbind(CARD[1]);
    core.bind(CARD[1], "pci-stub");
    const survey = surveyHotReset(process, CARD[0]);
    expect(brief(survey.obstacles)).toEqual([["HELD", CARD[1]]]);
    expect(survey.groups[0]?.viable).toBe(true);
  });

  it("pci-hotreset: a driver that is built on vfio-pci is as good", () => {
    const { process, topology, kernel } = slotHost();
    topology.get(CARD[1]).driver = "mlx5_vfio_pci";
    kernel.sysfs.link(`/sys/bus/pci/devices/${CARD[1]}/driver`, "/sys/bus/pci/drivers/mlx5_vfio_pci");
    expect(surveyHotReset(process, CARD[0]).obstacles).toEqual([]);
  });

  it("pci-hotreset: a bridge on the bus", () => {
    const { process } = slotHost();
    expect(brief(surveyHotReset(process, BESIDE_BRIDGE).obstacles)).toEqual([["BRIDGE", INNER_BRIDGE]]);
  });

  it("pci-hotreset: a member elsewhere that makes the group of the asked device unusable", () => {
    const { process, core } = slotHost();
    // The conventional buses share a group; the inner bus alone is hit.
    core.unbind(BESIDE_BRIDGE);
    core.bind(BESIDE_BRIDGE, "host-edu");
    const survey = surveyHotReset(process, BELOW_BRIDGE);
    expect(brief(survey.obstacles)).toEqual([["NOT_VIABLE", BESIDE_BRIDGE]]);
    run(process, survey.obstacles[0]?.commands);
    expect(surveyHotReset(process, BELOW_BRIDGE).obstacles).toEqual([]);
  });

  it("pci-hotreset: such a member is known of before there is a node to ask", () => {
    const { process, core } = slotHost();
    for (const bdf of [BESIDE_BRIDGE, BELOW_BRIDGE]) core.unbind(bdf);
    core.bind(BESIDE_BRIDGE, "host-edu");
    const { groups, obstacles } = surveyHotReset(process, BELOW_BRIDGE);
    expect(groups[0]).toMatchObject({ state: "absent", viable: null });
    expect(brief(obstacles)).toEqual([
      ["NOT_BOUND", BELOW_BRIDGE],
      ["NOT_VIABLE", BESIDE_BRIDGE],
    ]);
    for (const { commands } of obstacles) run(process, commands);
    expect(surveyHotReset(process, BELOW_BRIDGE).obstacles).toEqual([]);
  });

  it("pci-hotreset: a bridge is said before what would not help beside it", () => {
    const { process, core } = slotHost();
    core.unbind(BESIDE_BRIDGE);
    expect(brief(surveyHotReset(process, BELOW_BRIDGE).obstacles)).toEqual([]);
    expect(brief(surveyHotReset(process, BESIDE_BRIDGE).obstacles)).toEqual([
      ["BRIDGE", INNER_BRIDGE],
      ["NOT_BOUND", BESIDE_BRIDGE],
    ]);
  });

  it("pci-hotreset: several groups in one slot: ours, and one that another process has", () => {
    const host = slotHost();
    const { process, kernel } = host;
    const [first, second] = PORTS.map((bdf) => groupOf(host, bdf)) as [number, number];
    expect(first).not.toBe(second);
    const ours = attach(process, PORTS[0]).group;
    const other = VfioGroup.open(kernel.spawn({ comm: "dpdk" }), second);
    const before = surveyHotReset(process, PORTS[0], { owned: [ours] });
    expect(before.groups.map(({ id, state }) => [id, state])).toEqual([
      [first, "ours"],
      [second, "busy"],
    ]);
    expect(brief(before.obstacles)).toEqual([["GROUP_BUSY", second]]);
    expect(before.obstacles[0]).toMatchObject({
      message: expect.stringMatching(`: process \\d+ \\(dpdk\\) has /dev/vfio/${second} open$`),
      remedy: expect.stringMatching(/^end process \d+ \(dpdk\), or take another device$/),
    });
    // What is ours and not said to be is busy like anybody's.
    expect(brief(surveyHotReset(process, PORTS[0]).obstacles)).toEqual([
      ["GROUP_BUSY", first],
      ["GROUP_BUSY", second],
    ]);
    other.close();
    expect(surveyHotReset(process, PORTS[0], { owned: [ours] }).obstacles).toEqual([]);
  });

  it("pci-hotreset: a node that the user may not open", () => {
    const { kernel, topology } = slotHost();
    const survey = surveyHotReset(kernel.spawn({ root: false }), HOTPLUG);
    const group = topology.get(HOTPLUG).group?.id;
    expect(brief(survey.obstacles)).toEqual([["PERMISSION", group]]);
    expect(survey.obstacles[0]?.message).toContain(
      `/dev/vfio/${group}: owner root, group root, mode 0600; this process`,
    );
    expect(survey.obstacles[0]?.commands).toEqual([`chown "$USER" /dev/vfio/${group}`]);
  });

  it("pci-hotreset: no group, no node and no VFIO at all", () => {
    const { process, kernel, topology } = slotHost();
    const id = topology.get(CARD[0]).group?.id;
    kernel.nodes.delete(`/dev/vfio/${id}`);
    kernel.nodes.delete("/dev/vfio/vfio");
    kernel.sysfs.remove(`/sys/bus/pci/devices/${CARD[2]}/iommu_group`);
    const survey = surveyHotReset(process, CARD[0]);
    expect(brief(survey.obstacles)).toEqual([
      ["NO_GROUP", CARD[2]],
      ["NO_NODE", id],
      ["NO_VFIO", null],
    ]);
    expect(survey.obstacles[0]?.remedy).toMatch(/^put it into another slot.*[^.]$/);
  });

  it("pci-hotreset: a virtual function among the affected", () => {
    const { process, kernel } = slotHost();
    kernel.sysfs.link(`/sys/bus/pci/devices/${PORTS[1]}/physfn`, `../${PORTS[0]}`);
    const survey = surveyHotReset(process, PORTS[0]);
    expect(brief(survey.obstacles)).toEqual([["VIRTUAL_FUNCTION", PORTS[1]]]);
    expect(survey.obstacles[0]?.commands).toEqual([`echo 0 > /sys/bus/pci/devices/${PORTS[0]}/sriov_numvfs`]);
  });

  it("pci-hotreset: a group without an IOMMU has another node, for CAP_SYS_RAWIO only", () => {
    const host = slotHost();
    const { process, kernel } = host;
    const id = groupOf(host, HOTPLUG);
    kernel.nodes.delete(`/dev/vfio/${id}`);
    kernel.sysfs.file(`/sys/kernel/iommu_groups/${id}/name`, { read: () => "vfio-noiommu\n" });
    kernel.registerNode(`/dev/vfio/noiommu-${id}`, () => -EPERM);
    const { obstacles, groups } = surveyHotReset(process, HOTPLUG);
    expect(groups[0]).toMatchObject({ node: `/dev/vfio/noiommu-${id}`, noiommu: true, state: "denied", errno: EPERM });
    expect(obstacles[0]?.remedy).toContain("CAP_SYS_RAWIO");
  });

  it("pci-hotreset: changes nothing, whatever it finds", () => {
    const { process, topology } = slotHost();
    const config = () => topology.functions.map((fn) => [...fn.config.bytes].join());
    const drivers = () => topology.functions.map((fn) => fn.driver);
    const before = [config(), drivers()];
    for (const fn of topology.functions) surveyHotReset(process, fn.name);
    expect([config(), drivers()]).toEqual(before);
    expect(openDescriptors(process)).toBe(0);
  });
});

/** Carries out commands of the form `echo TEXT > FILE`. */
function run(process: { writeFile(path: string, text: string): number }, commands: readonly string[] = []): void {
  expect(commands.length).toBeGreaterThan(0);
  for (const command of commands) {
    const [, text, path] = /^echo (\S+) > (\S+)$/.exec(command) ?? [];
    expect(process.writeFile(path as string, `${text}\n`), command).toBeGreaterThanOrEqual(0);
  }
}
