import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AcpiArea, aml, acpiResources as resource, acpiTables as table } from "../src/boot/index.ts";
import { letters, readInteger, readPkgLength, readTable, readTemplate, sum } from "./acpi-walk.ts";
import { property } from "./property.ts";

const OEM = { id: "OEM", tableId: "TABLE" };
const bytesOf = (text: string): number[] => (text.match(/[0-9a-f]{2}/g) ?? []).map((byte) => Number.parseInt(byte, 16));
const refused = expect.objectContaining({ code: "ACPI_VALUE" });

describe("vmm boot: AML", () => {
  // Bytes by hand from ACPI 6.5, 20.2.
  it.each<[string, aml.Aml, string]>([
    ["Zero", aml.integer(0), "00"],
    ["One", aml.integer(1), "01"],
    ["a byte", aml.integer(0xff), "0a ff"],
    ["a word", aml.integer(0x100), "0b 00 01"],
    ["a double word", aml.integer(0x1_0000), "0c 00 00 01 00"],
    ["a quad word", aml.integer(2 ** 40), "0e 00 00 00 00 00 01 00 00"],
    ["a quad word of all ones", aml.integer(2n ** 64n - 1n), "0e ff ff ff ff ff ff ff ff"],
    ["a string", aml.string("AB"), "0d 41 42 00"],
    ["a buffer", aml.buffer(Uint8Array.of(9, 8)), "11 05 0a 02 09 08"],
    ["a package", aml.pkg([0, "A", [1]]), "12 0a 03 00 0d 41 00 12 03 01 01"],
    ["a name of one part", aml.nameString("_S5"), "5f 53 35 5f"],
    ["the root", aml.nameString("\\"), "5c 00"],
    ["an absolute name", aml.nameString("\\_SB"), "5c 5f 53 42 5f"],
    ["a name upwards", aml.nameString("^^X"), "5e 5e 58 5f 5f 5f"],
    ["two parts", aml.nameString("_SB.PCI0"), "2e 5f 53 42 5f 50 43 49 30"],
    ["three parts", aml.nameString("\\A.B.C"), "5c 2f 03 41 5f 5f 5f 42 5f 5f 5f 43 5f 5f 5f"],
    ["EISAID PNP0A08", aml.eisaId("PNP0A08"), "0c 41 d0 0a 08"],
    ["Name", aml.name("_UID", 3), "08 5f 55 49 44 0a 03"],
    ["Scope", aml.scope("\\_SB", aml.name("X", 0)), "10 0c 5c 5f 53 42 5f 08 58 5f 5f 5f 00"],
    ["Device", aml.device("DEV0"), "5b 82 05 44 45 56 30"],
    ["Method", aml.method("M", { args: 2, serialized: true }, aml.giveBack(aml.arg(1))), "14 08 4d 5f 5f 5f 0a a4 69"],
    ["CreateDWordField", aml.createDWordField(aml.arg(3), 4, "CDW2"), "8a 6b 0a 04 43 44 57 32"],
    ["And without a target", aml.and(aml.arg(0), 1), "7b 68 01 00"],
    ["Or with a target", aml.or(aml.ref("X"), 4, aml.ref("X")), "7d 58 5f 5f 5f 0a 04 58 5f 5f 5f"],
    ["LNotEqual", aml.not(aml.equal(aml.arg(0), 1)), "92 93 68 01"],
    ["If", aml.when(aml.arg(0), [aml.giveBack(0)]), "a0 04 68 a4 00"],
    ["If and Else", aml.when(aml.arg(0), [aml.giveBack(0)], [aml.giveBack(1)]), "a0 04 68 a4 00 a1 03 a4 01"],
    [
      "a UUID",
      aml.uuid("33db4d5b-1ff7-401c-9657-7441c03dd766"),
      "11 13 0a 10 5b 4d db 33 f7 1f 1c 40 96 57 74 41 c0 3d d7 66",
    ],
  ])("encodes %s", (_, term, expected) => {
    expect([...term]).toEqual(bytesOf(expected));
  });

  it("knows the lengths at which PkgLength grows", () => {
    expect(aml.pkgLength(0)).toEqual([1]);
    expect(aml.pkgLength(62)).toEqual([63]);
    expect(aml.pkgLength(63)).toEqual([0x41, 4]);
    expect(aml.pkgLength(4093)).toEqual([0x4f, 0xff]);
    expect(aml.pkgLength(4094)).toEqual([0x81, 0x00, 0x01]);
    expect(() => aml.pkgLength(2 ** 28)).toThrow(refused);
  });

  const lengths = fc.oneof(fc.nat(200), fc.integer({ min: 4000, max: 4200 }), fc.nat(2 ** 28 - 5));
  property("a PkgLength says how long itself and its content are, in as few bytes as can be", [lengths], (content) => {
    const encoded = Uint8Array.from(aml.pkgLength(content));
    const { length, size } = readPkgLength(encoded);
    expect(size).toBe(encoded.length);
    expect(length).toBe(content + size);
    const room = [0, 0x3f, 0xfff, 0xf_ffff, 0xfff_ffff];
    if (size > 1) expect(content + size - 1).toBeGreaterThan(room[size - 1]!);
  });

  property("an integer comes back", [fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })], (value) => {
    const term = aml.integer(value);
    expect(readInteger(term, 0)).toEqual({ value, next: term.length });
  });

  property(
    "packages in packages come back",
    [fc.array(fc.array(fc.nat(), { maxLength: 60 }), { maxLength: 60 })],
    (rows) => {
      expect(readTable(aml.value(rows), 0)).toEqual(rows.map((row) => row.map(BigInt)));
    },
  );

  it.each<[string, () => unknown]>([
    ["a negative number", () => aml.integer(-1)],
    ["a fraction", () => aml.integer(0.5)],
    ["a number of more than 64 bits", () => aml.integer(2n ** 64n)],
    ["letters that are not ASCII", () => aml.string("é")],
    ["a NUL in a string", () => aml.string("a\0b")],
    ["an empty name", () => aml.nameString("")],
    ["a name with small letters", () => aml.nameString("_sb")],
    ["a name with a part of five letters", () => aml.nameString("\\_SB.PCI00")],
    ["a name that starts with a digit", () => aml.nameString("0ABC")],
    ["a package of 256 elements", () => aml.pkg(new Array(256).fill(0))],
    ["eight arguments", () => aml.method("M", { args: 8, serialized: false })],
    ["Arg7", () => aml.arg(7)],
    ["an id of another form", () => aml.eisaId("PNP0a08")],
    ["a UUID of another form", () => aml.uuid("33db4d5b")],
    ["IRQ 16", () => resource.irqNoFlags(16)],
    ["256 ports", () => resource.io(0, 256)],
    ["a window past 64 KiB of ports", () => resource.wordIo(0xc000, 0x4001)],
    ["a signature of three letters", () => table.acpiTable("ABC", 1, OEM, new Uint8Array(0))],
    ["a long OEM id", () => table.acpiTable("ABCD", 1, { ...OEM, id: "SEVENLE" }, new Uint8Array(0))],
  ])("refuses %s", (_, make) => {
    expect(make).toThrow(refused);
  });
});

describe("vmm boot: resource templates", () => {
  // Bytes by hand from ACPI 6.5, 6.4.
  it.each<[string, Uint8Array, string]>([
    ["ports", resource.io(0x3f8, 8), "47 01 f8 03 f8 03 00 08"],
    ["an interrupt", resource.irqNoFlags(4), "22 10 00"],
    ["fixed memory", resource.memory32Fixed(0xe000_0000, 0x10_0000), "86 09 00 01 00 00 00 e0 00 00 10 00"],
    ["buses", resource.wordBusNumber(0, 255), "88 0d 00 02 0c 00 00 00 00 00 ff 00 00 00 00 01"],
    ["a window of ports", resource.wordIo(0xc000, 0x4000), "88 0d 00 01 0c 03 00 00 00 c0 ff ff 00 00 00 40"],
    [
      "a window of memory",
      resource.dwordMemory(0xc000_0000, 0x2000_0000),
      "87 17 00 00 0c 01 00 00 00 00 00 00 00 c0 ff ff ff df 00 00 00 00 00 00 00 20",
    ],
    [
      "a window above 4 GiB",
      resource.qwordMemory(2 ** 39, 2 ** 38),
      "8a 2b 00 00 0c 01 00 00 00 00 00 00 00 00 00 00 00 00 80 00 00 00 ff ff ff ff bf 00 00 00" +
        "00 00 00 00 00 00 00 00 00 00 00 00 40 00 00 00",
    ],
    ["an empty template", resource.resourceTemplate(), "11 05 0a 02 79 00"],
  ])("encodes %s", (_, descriptor, expected) => {
    expect([...descriptor]).toEqual(bytesOf(expected));
  });

  it("keeps descriptors in order", () => {
    const template = resource.resourceTemplate(
      resource.io(0x60, 1),
      resource.qwordMemory(0, 4096),
      resource.irqNoFlags(1),
    );
    expect(readTemplate(template, 0).map(({ tag }) => tag)).toEqual([0x40, 0x8a, 0x20]);
  });
});

describe("vmm boot: ACPI tables", () => {
  property(
    "a table has its length, its names, and sums to zero",
    [fc.uint8Array({ maxLength: 300 }), fc.nat(255)],
    (body, revision) => {
      const made = table.acpiTable("TEST", revision, OEM, body);
      expect(letters(made, 0, 4)).toBe("TEST");
      expect(new DataView(made.buffer).getUint32(4, true)).toBe(36 + body.length);
      expect(made[8]).toBe(revision);
      expect(letters(made, 10, 14)).toBe("OEM   TABLE   ");
      expect(sum(made)).toBe(0);
      expect(made.subarray(36)).toEqual(body);
    },
  );

  it("the root pointer has both checksums", () => {
    const pointer = table.rsdp(OEM, 0x12_3456_7890);
    expect(letters(pointer, 0, 8)).toBe("RSD PTR ");
    expect(pointer).toHaveLength(36);
    expect(sum(pointer.subarray(0, 20))).toBe(0);
    expect(sum(pointer)).toBe(0);
    expect(new DataView(pointer.buffer).getBigUint64(24, true)).toBe(0x12_3456_7890n);
  });

  it("the FADT has its fields at ACPI's offsets", () => {
    const made = table.fadt(OEM, {
      facsAddress: 0x1111_1111,
      dsdtAddress: 0x2222_2222,
      sci: 9,
      pm: { event: 0x600, control: 0x604, timer: 0x608 },
      reset: { port: 0xcf9, value: 6 },
      flags: table.FADT_RESET_REG_SUP | table.FADT_TMR_VAL_EXT,
      bootArchitecture: table.FADT_LEGACY_DEVICES,
      century: 0x32,
    });
    const view = new DataView(made.buffer);
    expect(letters(made, 0, 4)).toBe("FACP");
    expect(made).toHaveLength(276);
    expect(view.getUint32(36, true)).toBe(0x1111_1111);
    expect(view.getUint32(40, true)).toBe(0x2222_2222);
    expect(view.getBigUint64(132, true)).toBe(0n);
    expect(view.getBigUint64(140, true)).toBe(0x2222_2222n);
    expect(view.getUint16(46, true)).toBe(9);
    // No SMI: the machine is in ACPI mode.
    expect(view.getUint32(48, true)).toBe(0);
    expect([56, 64, 76].map((at) => view.getUint32(at, true))).toEqual([0x600, 0x604, 0x608]);
    expect([...made.subarray(88, 92)]).toEqual([4, 2, 0, 4]);
    expect(made[108]).toBe(0x32);
    expect(view.getUint16(109, true)).toBe(1);
    expect(view.getUint32(112, true)).toBe(0x500);
    expect([...made.subarray(116, 129)]).toEqual(bytesOf("01 08 00 01 f9 0c 00 00 00 00 00 00 06"));
    expect([...made.subarray(148, 160)]).toEqual(bytesOf("01 20 00 03 00 06 00 00 00 00 00 00"));
    expect([...made.subarray(172, 184)]).toEqual(bytesOf("01 10 00 02 04 06 00 00 00 00 00 00"));
    expect([...made.subarray(208, 220)]).toEqual(bytesOf("01 20 00 03 08 06 00 00 00 00 00 00"));
  });

  it("the MADT lists controllers one after another", () => {
    const made = table.madt(OEM, {
      lapicAddress: 0xfee0_0000,
      cpus: [{ uid: 7, apicId: 3 }],
      ioApic: { id: 1, address: 0xfec0_0000, gsiBase: 0x20 },
      overrides: [{ irq: 9, gsi: 0x29, flags: table.MADT_ACTIVE_HIGH_LEVEL }],
    });
    expect([...made.subarray(36)]).toEqual(
      bytesOf(
        "00 00 e0 fe 01 00 00 00" +
          "00 08 07 03 01 00 00 00" +
          "01 0c 01 00 00 00 c0 fe 20 00 00 00" +
          "02 0a 00 09 29 00 00 00 0d 00" +
          "04 06 ff 00 00 01",
      ),
    );
    expect(() =>
      table.madt(OEM, {
        lapicAddress: 0,
        cpus: [{ uid: 256, apicId: 0 }],
        ioApic: { id: 0, address: 0, gsiBase: 0 },
        overrides: [],
      }),
    ).toThrow(refused);
  });

  it("MCFG and FACS are as PCI Firmware and ACPI say", () => {
    expect([...table.mcfg(OEM, 0xe000_0000, 0, 3).subarray(36)]).toEqual(
      bytesOf("00 00 00 00 00 00 00 00 00 00 00 e0 00 00 00 00 00 00 00 03 00 00 00 00"),
    );
    const facs = table.facs();
    expect(letters(facs, 0, 4)).toBe("FACS");
    expect(new DataView(facs.buffer).getUint32(4, true)).toBe(64);
    expect(facs[32]).toBe(2);
  });
});

describe("vmm boot: area of tables", () => {
  const pieces = fc.array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.constantFrom(1, 4, 16, 64)));
  property("pieces are where it says, aligned, and apart", [pieces], (list) => {
    const area = new AcpiArea(0xe_0010, 0x2_0000);
    const places = list.map(([bytes, align]) => ({ bytes, align, address: area.add(bytes, align) }));
    const { bytes: all } = area;
    for (const { bytes, align, address } of places) {
      expect(address % align).toBe(0);
      expect(all.subarray(address - area.start, address - area.start + bytes.length)).toEqual(bytes);
    }
  });

  it("is full at its end, and not before", () => {
    const area = new AcpiArea(0xe_0000, 64);
    area.add(new Uint8Array(48));
    expect(() => area.add(new Uint8Array(17))).toThrow(refused);
    expect(area.add(new Uint8Array(16))).toBe(0xe_0030);
  });
});
