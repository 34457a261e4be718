import * as H from "@minivmm/kvm";
import { describe, expect, it } from "vitest";
import { decodeCells, decodeStrings, findNode, readFdt } from "../src/boot/index.ts";
import { pseriesFdt } from "../src/machines/pseries/device-tree.ts";
import { IRQ_VIO, VTY_UNIT } from "../src/machines/pseries/memory-map.ts";
import { RTAS_SYSTEM_REBOOT } from "../src/machines/pseries/rtas/tokens.ts";
import { WAITING_MAX } from "../src/machines/pseries/vio/crq.ts";
import { vioIrq } from "../src/machines/pseries/vio/device.ts";
import { bench } from "./fakes.ts";
import { IU, QUEUE, QUEUE_BYTES, UNIT, VscsiClient } from "./vscsi-client.ts";

const WINDOW = 0x1000_0000;

describe("vmm pseries vio: hypercalls", () => {
  it.each([
    ["a length below 4 KiB", [QUEUE, 0xff0], H.H_PARAMETER],
    ["a length above 256 MiB", [0, 0x1000_1000], H.H_PARAMETER],
    ["a length that is no whole page", [QUEUE, 0x1010], H.H_PARAMETER],
    ["a length of 2^63", [QUEUE, [0x80000000, 0] as const], H.H_PARAMETER],
    ["an address inside a page", [QUEUE + 16, 0x1000], H.H_PARAMETER],
    ["an address of 2^63", [[0x80000000, 0] as const, 0x1000], H.H_PARAMETER],
    ["a queue that leaves the window", [WINDOW - 0x1000, 0x2000], H.H_PARAMETER],
    ["a queue at the window's end", [WINDOW - 0x1000, 0x1000], H.H_SUCCESS],
    ["a queue as large as the window", [0, WINDOW], H.H_SUCCESS],
  ])("answers H_REG_CRQ with %s", (_, args, code) => {
    const client = new VscsiClient();
    expect(client.bench.hcall(H.H_REG_CRQ, UNIT, ...args)).toBe(code);
    expect(client.adapter.crq.registered).toBe(code === H.H_SUCCESS);
  });

  it("know no other units, and a console without a queue", () => {
    const { bench: b } = new VscsiClient();
    for (const token of [H.H_REG_CRQ, H.H_FREE_CRQ, H.H_SEND_CRQ, H.H_ENABLE_CRQ, H.H_VIO_SIGNAL]) {
      expect(b.hcall(token, UNIT + 1, 0, 0x1000)).toBe(H.H_PARAMETER);
      expect(b.hcall(token, [1, UNIT], 0, 0x1000)).toBe(H.H_PARAMETER);
    }
    expect(b.hcall(H.H_REG_CRQ, VTY_UNIT, 0, 0x1000)).toBe(H.H_NOT_FOUND);
    expect(b.hcall(H.H_SEND_CRQ, VTY_UNIT, 0, 0)).toBe(H.H_HARDWARE);
    expect(b.hcall(H.H_VIO_SIGNAL, VTY_UNIT, 1)).toBe(H.H_PARAMETER);
    expect(b.hcall(H.H_VIO_SIGNAL, VTY_UNIT, 0)).toBe(H.H_SUCCESS);
  });

  it("register one queue, and another after the first is freed", () => {
    const { bench: b } = new VscsiClient();
    expect(b.hcall(H.H_REG_CRQ, UNIT, QUEUE, QUEUE_BYTES)).toBe(H.H_SUCCESS);
    expect(b.hcall(H.H_REG_CRQ, UNIT, QUEUE, QUEUE_BYTES)).toBe(H.H_RESOURCE);
    expect(b.hcall(H.H_FREE_CRQ, UNIT)).toBe(H.H_SUCCESS);
    expect(b.hcall(H.H_FREE_CRQ, UNIT)).toBe(H.H_SUCCESS);
    expect(b.hcall(H.H_REG_CRQ, UNIT, QUEUE, QUEUE_BYTES)).toBe(H.H_SUCCESS);
    expect(b.hcall(H.H_ENABLE_CRQ, UNIT)).toBe(H.H_SUCCESS);
  });

  it("find the transport closed without a queue", () => {
    expect(new VscsiClient().sendCrq([0xc0010000, 0], [0, 0])).toBe(H.H_CLOSED);
  });

  it("take a signal mode of 0 or 1", () => {
    const { bench: b } = new VscsiClient();
    expect([0, 1, 2].map((mode) => b.hcall(H.H_VIO_SIGNAL, UNIT, mode))).toEqual([0, 0, H.H_PARAMETER]);
    expect(b.hcall(H.H_VIO_SIGNAL, UNIT, [0x80000000, 1])).toBe(H.H_PARAMETER);
  });
});

describe("vmm pseries vio: command/response queue", () => {
  const initialise = (client: VscsiClient): number => client.sendCrq([0xc0010000, 0], [0, 0]);

  function registered(): VscsiClient {
    const client = new VscsiClient();
    client.mapRange(QUEUE, QUEUE_BYTES);
    client.bench.hcall(H.H_REG_CRQ, UNIT, QUEUE, QUEUE_BYTES);
    return client;
  }

  it("puts answers into the ring one after the other, and begins again at its end", () => {
    const client = registered();
    for (let i = 0; i < 2 * (QUEUE_BYTES / 16) + 3; i++) {
      expect(initialise(client)).toBe(H.H_SUCCESS);
      expect([...client.takeCrq()!]).toEqual([0xc0, 2, ...Array(14).fill(0)]);
    }
  });

  it("raises its interrupt for a message while signals are on", () => {
    const client = registered();
    const { xics } = client.bench.machine;
    xics.route(client.adapter.irq, 0, 5);
    xics.setCppr(0xff);
    initialise(client);
    expect(client.bench.cpu.line).toBe(false);
    client.bench.hcall(H.H_VIO_SIGNAL, UNIT, 1);
    initialise(client);
    expect(client.bench.cpu.line).toBe(true);
    expect(xics.accept() & 0xffffff).toBe(IRQ_VIO + 3);
  });

  it("keeps answers that find no room, in order, and drops messages when too many wait", () => {
    const client = registered();
    const room = QUEUE_BYTES / 16;
    let sent = 0;
    while (initialise(client) === H.H_SUCCESS) sent++;
    expect(sent).toBe(room + WAITING_MAX);
    expect(initialise(client)).toBe(H.H_DROPPED);
    expect(client.adapter.crq.posted).toBe(room);
    for (let i = 0; i < 10; i++) expect(client.takeCrq()).toBeDefined();
    // Switching signals on is what a driver does when it has emptied the ring.
    client.bench.hcall(H.H_VIO_SIGNAL, UNIT, 1);
    expect(client.adapter.crq.posted).toBe(room + 10);
    expect(initialise(client)).toBe(H.H_SUCCESS);
    let taken = 10;
    for (; client.takeCrq() !== undefined; taken++) client.bench.hcall(H.H_VIO_SIGNAL, UNIT, 1);
    expect(taken).toBe(sent + 1);
  });

  it("forgets what waits when the queue is freed", () => {
    const client = registered();
    while (initialise(client) === H.H_SUCCESS);
    client.bench.hcall(H.H_FREE_CRQ, UNIT);
    client.bench.ram.u8.fill(0, QUEUE, QUEUE + QUEUE_BYTES);
    client.bench.hcall(H.H_REG_CRQ, UNIT, QUEUE, QUEUE_BYTES);
    expect(client.takeCrq()).toBeUndefined();
    expect(initialise(client)).toBe(H.H_SUCCESS);
  });

  it("waits while the ring is not mapped, or not for both directions", () => {
    const client = registered();
    for (const permissions of [0, 1, 2]) {
      client.map(QUEUE, permissions);
      expect(initialise(client)).toBe(H.H_SUCCESS);
      expect(client.takeCrq()).toBeUndefined();
    }
    client.map(QUEUE);
    client.bench.hcall(H.H_VIO_SIGNAL, UNIT, 0);
    expect([1, 2, 3, 4].map(() => client.takeCrq()?.[0])).toEqual([0xc0, 0xc0, 0xc0, undefined]);
  });
});

describe("vmm pseries vio: bus", () => {
  it("gives each range of unit addresses its own interrupts", () => {
    expect([0x7100_0000, 0x7100_0003, 0x7100_0103, 0x3000_2000, 0x2000, 0x1_2000].map(vioIrq)).toEqual(
      [0x00, 0x03, 0x03, 0xf2, 0x02, 0x12].map((offset) => IRQ_VIO + offset),
    );
  });

  it("hands out the lowest free unit address, which is never the console's", () => {
    const { bench: b, adapter } = new VscsiClient({ reg: 0x7100_0001 });
    expect(b.machine.vio.freeUnit()).toBe(0x7100_0002);
    expect(b.machine.vio.find(0x7100_0001)).toBe(adapter);
  });

  it.each([
    ["the console's unit address", VTY_UNIT, /console is there/],
    ["one whose interrupt is taken", 0x7100_0100, /interrupt is the console's/],
    ["one of PCI", 0x8000_0000, /between 0x1 and 0x7fffffff/],
    ["zero", 0, /between/],
    ["a fraction", 1.5, /between/],
  ])("refuses %s", (_, reg, message) => {
    expect(() => new VscsiClient({ reg })).toThrow(
      expect.objectContaining({
        code: "USAGE_DEVICE",
        message: expect.stringMatching(message),
        hint: expect.anything(),
      }),
    );
  });

  it("opens a window at the LIOBN of the unit address, and closes and empties everything when the guest stops", () => {
    const client = new VscsiClient().open();
    const { machine } = client.bench;
    expect(machine.tables.find(UNIT)).toMatchObject({ entries: 65536, pageShift: 12, busHi: 0, busLo: 0 });
    expect(machine.tables.find(UNIT)!.low(IU / 4096)).toBe(IU + 3);
    expect(client.bench.rtas(RTAS_SYSTEM_REBOOT, [], 1)).toEqual([0]);
    expect(client.adapter.crq.registered).toBe(false);
    const table = machine.tables.find(UNIT)!;
    for (let index = 0; index < table.entries; index++) expect(table.low(index)).toBe(0);
  });

  it("describes a device in the tree, with its window and its interrupt", () => {
    const { machine } = new VscsiClient().bench;
    const { root } = readFdt(
      pseriesFdt({
        ramBytes: 0x10_0000,
        append: "",
        initrd: undefined,
        rtasEntry: 0x7fff_0000,
        rtasTokens: {},
        slots: [],
        vdevices: machine.vio.devices.map((device) => device.deviceTreeNode()),
        dmaWindowBytes: 0x10_0000,
        ddw: false,
      }),
    );
    const properties = findNode(root, "/vdevice/v-scsi@71000003")?.properties ?? {};
    const cells = (name: string): number[] => decodeCells(properties[name] as Uint8Array);
    expect(decodeStrings(properties.compatible as Uint8Array)).toEqual(["IBM,v-scsi"]);
    expect(decodeStrings(properties.device_type as Uint8Array)).toEqual(["vscsi"]);
    expect(cells("reg")).toEqual([UNIT]);
    expect(cells("interrupts")).toEqual([IRQ_VIO + 3, 0]);
    expect(cells("ibm,my-dma-window")).toEqual([UNIT, 0, 0, 0, 0x1000_0000]);
    expect([cells("ibm,#dma-address-cells"), cells("ibm,#dma-size-cells")]).toEqual([[2], [2]]);
    const functions = findNode(root, "/rtas")?.properties["ibm,hypertas-functions"];
    expect(decodeStrings(functions as Uint8Array)).toContain("hcall-crq");
  });

  it("has no devices of its own", () => {
    expect(bench().machine.vio.devices).toEqual([]);
  });
});
