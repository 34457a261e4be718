// Records what GNU binutils says about this package's encodings; the tests compare with the recording, without binutils.
//   test/recordings/disassembly.json  [[word, address, text], ...]: every mnemonic of the table with random operands, by objdump -M raw
//   test/recordings/extended.json     [[mnemonic, operands, word], ...]: extended mnemonics, assembled by as
// Needs powerpc64le-linux-gnu-as and -objdump. Words are random but seeded: two runs give the same file.
// Run: npx tsx tools/record-encodings.ts

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fieldMask, insertField } from "../src/isa/encodings.ts";
import { MNEMONICS } from "../src/isa/mnemonics.ts";
import { EXTENDED_SAMPLES } from "./extended-samples.ts";
import { Random } from "./random.ts";

const PER_MNEMONIC = 14;
const directory = mkdtempSync(join(tmpdir(), "encodings-"));
const recordings = new URL("../test/recordings/", import.meta.url);

function tool(name: string, ...args: string[]): string {
  return execFileSync(`powerpc64le-linux-gnu-${name}`, args, { encoding: "utf8", maxBuffer: 1 << 26 });
}

/** Evens out two habits of raw mode: an operand that mfcr does not have, and absolute targets cut to 32 bits. */
function canonical(text: string): string {
  return text
    .trim()
    .replace(/\s+/, " ")
    .replace(/^(mfcr r\d+),-1$/, "$1")
    .replace(/^(bc?l?a .*0x)([89a-f][0-9a-f]{7})$/, "$1ffffffff$2");
}

/** Operands that have few valid values, so that random bits would rarely hit one. */
const FEW_VALUES: Record<string, readonly number[]> = {
  mfocrf: [1, 2, 4, 8, 16, 32, 64, 128],
  mtocrf: [1, 2, 4, 8, 16, 32, 64, 128],
};

/** Words of every mnemonic: all-zero operands, then random ones. */
function sampleWords(): number[] {
  const random = new Random(2026);
  const words: number[] = [];
  for (const { name, row, bits } of MNEMONICS.values()) {
    const few = row.fields.find((f) => f.name === "FXM");
    for (const v of FEW_VALUES[name] ?? []) words.push(insertField(row.match | (random.below(32) << 21), few!, v));
    let operandBits = 0;
    for (const f of row.fields) operandBits |= fieldMask(f);
    words.push((row.match | bits) >>> 0);
    for (let i = 1; i < PER_MNEMONIC; i++) words.push((row.match | bits | (random.u32() & operandBits)) >>> 0);
  }
  return words;
}

function recordDisassembly(): void {
  const words = sampleWords();
  const file = join(directory, "words.bin");
  writeFileSync(file, new Uint8Array(Uint32Array.from(words).buffer));
  const listing = tool("objdump", "-b", "binary", "-m", "powerpc:common64", "-EL", "-Mpower9,raw", "-D", file);
  const texts = [...listing.matchAll(/^\s*[0-9a-f]+:\t(?:[0-9a-f]{2} ){4}\t(.*)$/gm)].map((m) => canonical(m[1]!));
  if (texts.length !== words.length) throw new Error(`objdump listed ${texts.length} of ${words.length} words`);
  // Invalid forms (update with RA = 0, reserved BO values, ...) are no instructions to objdump: left out.
  const rows = words
    .map((w, i) => `["${w.toString(16).padStart(8, "0")}",${i * 4},${JSON.stringify(texts[i])}]`)
    .filter((_, i) => !texts[i]!.startsWith(".long"));
  writeFileSync(new URL("disassembly.json", recordings), `[\n${rows.join(",\n")}\n]\n`);
}

function recordExtended(): void {
  const source = join(directory, "extended.s");
  const object = join(directory, "extended.o");
  const binary = join(directory, "extended.bin");
  // Targets are numbers relative to the instruction: ".+n".
  const lines = EXTENDED_SAMPLES.map(([name, operands]) => {
    const target = /^(b[a-z]*)$/.test(name) && !/(lr|lrl|ctr|ctrl)$/.test(name);
    return `${name} ${operands.map((v, i) => (target && i === operands.length - 1 ? `.+(${v})` : v)).join(",")}`;
  });
  writeFileSync(source, `.machine power9\n${lines.join("\n")}\n`);
  tool("as", "-mlittle", "-a64", "-o", object, source);
  tool("objcopy", "-O", "binary", object, binary);
  const bytes = readFileSync(binary);
  const rows = EXTENDED_SAMPLES.map(([name, operands], i) =>
    JSON.stringify([name, operands, bytes.readUInt32LE(i * 4)]),
  );
  writeFileSync(new URL("extended.json", recordings), `[\n${rows.join(",\n")}\n]\n`);
}

recordDisassembly();
recordExtended();
rmSync(directory, { recursive: true });
