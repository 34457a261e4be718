// `minivmm reset` as a user meets it: the plan, the reset, refusals, exit statuses; text and JSON of each.

import { PassThrough } from "node:stream";
import { type FunctionDescription, type ModelledHost, modelHost, modelHostDescription } from "@minivmm/model-host";
import { VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import { resetOn } from "../src/cmds/reset.ts";
import type { TerminalInput } from "../src/console/terminal.ts";
import { renderError } from "../src/errors.ts";
import type { ResetRequest } from "../src/options/reset-request.ts";
import { Capture, cli } from "./helpers.ts";

const DESKTOP = ["--host", "model:desktop"];
const DISK = "0000:02:00.0";
const SHARED = ["0000:04:01.0", "0000:04:02.0", "0000:04:03.0"];
/** RDBAL, where the network card keeps the address of its receive ring. */
const RECEIVE_BASE = 0x2800;
const CARD = ["0000:05:00.0", "0000:05:00.1", "0000:05:00.2"];

/** The desktop with a card of three functions, all on vfio-pci, and the driver that a host would use for them. */
function cardHost(): ModelledHost {
  const description = modelHostDescription("desktop");
  const children: FunctionDescription[] = CARD.map((bdf) => ({
    at: bdf.slice(-4),
    model: "e1000e",
    multifunction: true,
    driver: "vfio-pci",
  }));
  description.domains[0]?.devices.push({ at: "06.0", bridge: "root-port", driver: "pcieport", children });
  description.drivers = [{ name: "e1000e", class: 0x020000 }];
  return modelHost(description);
}

/** The command on a host that was prepared: status, or the error as it is shown. */
function on(model: ModelledHost, request: Partial<ResetRequest>) {
  const [stdout, stderr] = [new Capture(), new Capture()];
  const io = { stdin: new PassThrough() as TerminalInput, stdout, stderr, env: {} };
  const process = model.spawn();
  const full: ResetRequest = {
    action: "plan",
    addresses: [CARD[0] as string],
    host: { kind: "real" },
    json: false,
    dryRun: false,
    ...request,
  };
  let status: number | string;
  try {
    status = resetOn(process, "test host", full, io);
  } catch (error) {
    status = renderError(error);
  }
  const open = Array.from({ length: 64 }, (_, fd) => process.fileOf(fd)).filter((file) => file !== undefined).length;
  process.exit();
  return { status, stdout: stdout.text, open };
}

const parsed = (text: string) => JSON.parse(text);

describe("cli reset plan: text", () => {
  it("says that nothing is missing, and whom the reset would hit", async () => {
    const { status, stdout, stderr } = await cli(["reset", "plan", DISK, ...DESKTOP]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^Bus reset below 0000:00:02\.0 for 0000:02:00\.0 \(modelled host desktop\)\n\nADDRESS /);
    expect(stdout).toMatch(/^0000:02:00\.0 +1b36:0010 +NVMe controller +vfio-pci +\d+ +flr bus +ready$/m);
    expect(stdout).toMatch(/^\d+ +\/dev\/vfio\/\d+ +free, viable$/m);
    expect(stdout).toMatch(/\naccepted: 1 function would be reset\n$/);
  });

  it("lists what is missing with the commands that help, and answers with 1", async () => {
    const { status, stdout, stderr } = await cli(["reset", "plan", "04:01.0", ...DESKTOP]);
    expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
    expect(stdout).toMatch(/^0000:04:02\.0 .* ready$/m);
    expect(stdout).toMatch(/^0000:04:03\.0 .* bind it to vfio-pci$/m);
    expect(stdout).toContain(
      [
        "MISSING",
        " 1. 0000:04:03.0 is bound to no driver",
        "    bind 0000:04:03.0 to vfio-pci",
        "      echo vfio-pci > /sys/bus/pci/devices/0000:04:03.0/driver_override",
        "      echo 0000:04:03.0 > /sys/bus/pci/drivers_probe",
        "",
        "refused: 1 thing is missing",
        "",
      ].join("\n"),
    );
  });

  it("says why nothing can be reset", async () => {
    const { status, stdout } = await cli(["reset", "plan", "0:05.0", ...DESKTOP]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^No hot reset of 0000:00:05\.0 /);
    expect(stdout).toContain("sits on a root bus");
    expect(stdout).toMatch(/\nimpossible\n$/);
  });

  it("names every function in the way, and the group that another process has", () => {
    using model = cardHost();
    model.faults.takeGroup(CARD[1] as string, "e1000e");
    model.vfio.unbind(CARD[2] as string);
    const group = VfioGroup.open(model.spawn(), model.topology.get(CARD[0] as string).group?.id ?? -1);
    const { status, stdout, open } = on(model, {});
    expect({ status, open }).toEqual({ status: 1, open: 0 });
    expect(stdout).toMatch(/^0000:05:00\.0 .* group open elsewhere$/m);
    expect(stdout).toMatch(/^0000:05:00\.1 .* held by host driver e1000e$/m);
    expect(stdout).toMatch(/^0000:05:00\.2 .* bind it to vfio-pci$/m);
    expect(stdout).toMatch(/refused: 3 things are missing\n$/);
    group.close();
  });

  it("is one plan for functions that are reset together", async () => {
    const { stdout } = await cli(["reset", "plan", ...SHARED, DISK, DISK, ...DESKTOP]);
    expect(stdout.match(/^Bus reset below/gm)).toHaveLength(2);
  });
});

describe("cli reset plan: JSON", () => {
  it("has every key, and the commands as data", async () => {
    const { status, stdout } = await cli(["reset", "plan", SHARED[0] as string, "--json", ...DESKTOP]);
    expect(status).toBe(1);
    const [plan] = parsed(stdout);
    const { functions, groups, missing, ...rest } = plan;
    expect(rest).toEqual({
      address: SHARED[0],
      accepted: false,
      method: "bus",
      bridge: "0000:03:00.0",
      impossible: null,
      culprit: null,
    });
    expect(functions.map((each: { address: string }) => each.address)).toEqual(SHARED);
    const group = functions[0].group;
    expect(functions[2]).toEqual({
      address: SHARED[2],
      vendor: 0x1234,
      device: 0x11e8,
      classCode: 0x00ff00,
      className: "device",
      driver: null,
      group,
      bridge: false,
      physicalFunction: null,
      resetMethods: [],
    });
    expect(groups).toMatchObject([{ group, node: `/dev/vfio/${group}`, noiommu: false, state: "free", viable: true }]);
    expect(groups[0].members).toContainEqual({ address: SHARED[2], driver: null });
    expect(missing).toEqual([
      {
        code: "NOT_BOUND",
        address: SHARED[2],
        group,
        message: `${SHARED[2]} is bound to no driver`,
        remedy: `bind ${SHARED[2]} to vfio-pci`,
        commands: [
          `echo vfio-pci > /sys/bus/pci/devices/${SHARED[2]}/driver_override`,
          `echo ${SHARED[2]} > /sys/bus/pci/drivers_probe`,
        ],
      },
    ]);
  });
});

describe("cli reset run", () => {
  it("resets, says what became of each function, and lets everything go", () => {
    using model = cardHost();
    const { status, stdout, open } = on(model, { action: "run" });
    expect({ status, open }).toEqual({ status: 0, open: 0 });
    for (const bdf of CARD) expect(stdout).toMatch(new RegExp(`^${bdf} .* reset, configuration kept$`, "m"));
    expect(stdout).toMatch(/\ndone in .* ms, holding group \d+\n$/);
    // The next one can.
    expect(on(model, { action: "run" }).status).toBe(0);
  });

  it("clears the registers of every function, and a dry run those of none", () => {
    using model = cardHost();
    const devices = CARD.map((bdf) => model.topology.get(bdf).device);
    const out = new Uint32Array(2);
    const read = () =>
      devices.map((device) => {
        device.readBar(0, RECEIVE_BASE, 4, out);
        return out[0];
      });
    for (const device of devices) device.writeBar(0, RECEIVE_BASE, 4, 0xfeed0, 0);
    const dry = on(model, { action: "run", dryRun: true });
    expect(dry).toMatchObject({ status: 0, open: 0 });
    expect(dry.stdout).toMatch(/\ndry run: group \d+ could be held, nothing was touched\n$/);
    expect(read()).toEqual([0xfeed0, 0xfeed0, 0xfeed0]);
    on(model, { action: "run" });
    expect(read()).toEqual([0, 0, 0]);
  });

  it("refuses with the plan when one function is not owned, and resets nothing else that was asked for", () => {
    using model = cardHost();
    model.vfio.unbind(CARD[2] as string);
    const disk = model.topology.get(DISK);
    const before = [...disk.config.bytes];
    const { status, stdout, open } = on(model, { action: "run", addresses: [CARD[0] as string, DISK] });
    expect(status).toBe(
      `minivmm: ${CARD[0]} was not reset: ${CARD[2]} is bound to no driver\nhint: bind ${CARD[2]} to vfio-pci\n`,
    );
    expect(open).toBe(0);
    expect(stdout).toContain("MISSING\n 1. ");
    expect(stdout).toMatch(/untouched\n\nskipped\n$/);
    expect([...disk.config.bytes]).toEqual(before);
  });

  it("ends with status 1 and one line on standard error", async () => {
    const { status, stderr } = await cli(["reset", "run", SHARED[0] as string, ...DESKTOP]);
    expect(status).toBe(1);
    expect(stderr).toBe(
      `minivmm: ${SHARED[0]} was not reset: ${SHARED[2]} is bound to no driver\nhint: bind ${SHARED[2]} to vfio-pci\n`,
    );
  });

  it("tells when the kernel could not, and what was left alone after that", () => {
    using model = cardHost();
    model.topology.get(CARD[1] as string).locked = true;
    const { status, stdout } = on(model, { action: "run", addresses: [CARD[0] as string, DISK] });
    expect(status).toMatch(/^minivmm: 0000:05:00\.0 .* EAGAIN\nhint: /);
    expect(stdout).toMatch(/^0000:05:00\.1 .* untouched$/m);
    expect(stdout).toMatch(/\nfailed\n\n[\s\S]*\nskipped\n$/);
  });

  it("says the same as JSON", () => {
    using model = cardHost();
    const done = parsed(on(model, { action: "run", json: true }).stdout);
    expect(done).toMatchObject([{ address: CARD[0], status: "done", error: null, plan: { accepted: true } }]);
    expect(done[0].functions).toEqual(CARD.map((address) => ({ address, outcome: "reset", changed: [] })));
    expect(done[0].milliseconds).toBeGreaterThanOrEqual(0);
    expect(done[0].groups).toHaveLength(1);

    const dry = parsed(on(model, { action: "run", json: true, dryRun: true }).stdout);
    expect(dry).toMatchObject([{ status: "dry-run", milliseconds: null, error: null }]);

    model.vfio.unbind(CARD[1] as string);
    const refused = on(model, { action: "run", json: true, addresses: [DISK, CARD[0] as string] });
    expect(refused.status).toMatch(/^minivmm: /);
    expect(parsed(refused.stdout)).toMatchObject([
      { address: DISK, status: "skipped", error: null, groups: [] },
      { address: CARD[0], status: "refused", error: { code: "RESET_REFUSED", errno: null } },
    ]);
  });
});

describe("cli reset: bad input", () => {
  const cases: [string, string[], number, RegExp][] = [
    ["no action", ["reset"], 2, /^minivmm: reset: no action is given\nhint: write minivmm reset plan BDF/],
    [
      "an address for an action",
      ["reset", "02:00.0"],
      2,
      /no action is given\nhint: write minivmm reset plan 02:00\.0\n$/,
    ],
    ["an unknown action", ["reset", "pln", "02:00.0"], 2, /unknown action "pln"\nhint: did you mean plan\?\n$/],
    ["no function", ["reset", "run"], 2, /^minivmm: reset run: no function is given\nhint: /],
    ["what is no address", ["reset", "plan", "eth0"], 2, /eth0 is not a PCI address\nhint: .*minivmm devices/],
    ["a function number beyond 7", ["reset", "plan", "02:00.9"], 2, /02:00\.9 is not a PCI address\nhint: /],
    ["-dry-run of a plan", ["reset", "plan", "02:00.0", "-dry-run"], 2, /^minivmm: reset plan: -dry-run .*\nhint: /],
    ["an unknown option", ["reset", "run", "02:00.0", "-dry"], 2, /^minivmm: unknown option -dry\nhint: /],
    [
      "a function that is not there",
      ["reset", "plan", "09:00.0", ...DESKTOP],
      1,
      /no PCI device 0000:09:00\.0 .*\nhint: /,
    ],
    ["an unknown host", ["reset", "plan", "02:00.0", "-host", "model:vax"], 2, /unknown modelled host "vax"\nhint: /],
  ];
  it.each(cases)("says one clear thing about %s", async (_title, argv, status, message) => {
    const outcome = await cli(argv);
    expect(outcome.stderr).toMatch(message);
    expect(outcome).toMatchObject({ status, stdout: "" });
    expect(outcome.stderr).not.toMatch(/\n {4}at /);
  });
});
