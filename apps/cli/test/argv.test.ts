// The normaliser, property by property: spelling and order do not matter, values arrive as they were typed.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseCommandLine } from "../src/cli.ts";
import { normaliseArgv, parseArgv } from "../src/options/argv.ts";
import { closest, editDistance } from "../src/options/suggest.ts";
import { RUN_OPTIONS } from "../src/options/table.ts";

const valued = RUN_OPTIONS.filter((spec) => spec.value !== undefined);
const flags = RUN_OPTIONS.filter((spec) => spec.value === undefined);
const names = (spec: (typeof RUN_OPTIONS)[number]): string[] => [spec.name, ...(spec.aliases ?? [])];

const given = fc.oneof(
  fc.record({
    spec: fc.constantFrom(...valued),
    value: fc.string(),
    pick: fc.nat(),
    dashes: fc.constantFrom("-", "--"),
    inline: fc.boolean(),
  }),
  fc.record({ spec: fc.constantFrom(...flags), pick: fc.nat(), dashes: fc.constantFrom("-", "--") }),
);

const spell = (option: typeof given extends fc.Arbitrary<infer T> ? T : never): string[] => {
  const all = names(option.spec);
  const word = option.dashes + (all[option.pick % all.length] as string);
  if (!("value" in option)) return [word];
  return option.inline ? [`${word}=${option.value}`] : [word, option.value];
};

describe("cli argv: normalising", () => {
  it("gives every option its long name and its value verbatim, in any spelling", () => {
    fc.assert(
      fc.property(fc.array(given, { maxLength: 8 }), (options) => {
        const expected = options.map((option) =>
          "value" in option ? `--${option.spec.name}=${option.value}` : `--${option.spec.name}`,
        );
        expect(normaliseArgv(options.flatMap(spell), RUN_OPTIONS)).toEqual(expected);
      }),
    );
  });

  it("is the same applied twice", () => {
    fc.assert(
      fc.property(fc.array(given, { maxLength: 8 }), (options) => {
        const once = normaliseArgv(options.flatMap(spell), RUN_OPTIONS);
        expect(normaliseArgv(once, RUN_OPTIONS)).toEqual(once);
      }),
    );
  });

  it("keeps the order of each option's values whatever stands between them", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(["a", "b", "c", "d"]), fc.array(given, { maxLength: 4 }), (ids, others) => {
        const noise = others.filter(({ spec }) => spec.name !== "device");
        const argv = ids.flatMap((id, i) => [...(noise[i] === undefined ? [] : spell(noise[i])), "-device", id]);
        const devices = parseArgv(argv, RUN_OPTIONS).options.filter(({ name }) => name === "device");
        expect(devices.map(({ value }) => value)).toEqual(ids);
      }),
    );
  });

  it("takes the next word as the value even when it begins with a dash, as QEMU does", () => {
    expect(normaliseArgv(["-append", "-initrd", "-m", "512"], RUN_OPTIONS)).toEqual([
      "--append=-initrd",
      "--memory=512",
    ]);
  });

  it("refuses a value where there is none and a missing value where there is one", () => {
    expect(() => normaliseArgv(["-nographic=yes"], RUN_OPTIONS)).toThrow(/takes no value/);
    expect(() => normaliseArgv(["-m"], RUN_OPTIONS)).toThrow(/option -m needs a value/);
  });

  it("names the closest option for an unknown one", () => {
    const error = (() => {
      try {
        normaliseArgv(["-kernal", "x"], RUN_OPTIONS);
      } catch (caught) {
        return caught as { message: string; hint: string; code: string };
      }
      throw new Error("not refused");
    })();
    expect(error).toMatchObject({
      message: "unknown option -kernal",
      hint: "did you mean -kernel?",
      code: "USAGE_OPTION",
    });
  });
});

describe("cli argv: from words to a request", () => {
  it("hands on any text unchanged: quotes, equals signs, line ends, dashes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.string(), fc.constantFrom('"a b"', "'x'", "a=b", "--", "-m", '"', "\n", "")),
        async (text) => {
          // An impossible serial device is refused with its text: what came out of the parser is what went in.
          const parsed = parseCommandLine(["-kernel", "k", "-serial", `?${text}`]);
          await expect(parsed).rejects.toThrow(`-serial ?${text} is not possible`);
        },
      ),
    );
  });

  it("takes a command line that begins with an option as one for run", async () => {
    expect(await parseCommandLine(["-kernel", "k"])).toBeTypeOf("function");
    expect(await parseCommandLine(["run", "--kernel=k", "-m", "1G"])).toBeTypeOf("function");
  });
});

describe("cli suggestions", () => {
  it("measure a distance: zero only for equals, symmetric, at most the longer length", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
        const distance = editDistance(a, b);
        expect(distance === 0).toBe(a === b);
        expect(editDistance(b, a)).toBe(distance);
        expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length));
      }),
    );
  });

  it("propose what was meant, and nothing for what is far from everything", () => {
    expect(closest("intird", ["initrd", "kernel"])).toBe("initrd");
    expect(closest("zzzzzz", ["initrd", "kernel"])).toBeUndefined();
  });
});
