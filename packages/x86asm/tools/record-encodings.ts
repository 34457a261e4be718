// Records what GNU as makes of the samples, for the tests to compare with: test/recordings/encodings.json,
// {mode: {source: bytes in hex}}. Needs as and objcopy of binutils for x86. Run: pnpm run record

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SAMPLES } from "../test/support/samples.ts";

const directory = mkdtempSync(join(tmpdir(), "encodings-"));
const [object, image] = [join(directory, "a.o"), join(directory, "a.bin")];
const recording = new URL("../test/recordings/encodings.json", import.meta.url);

function assemble(bits: number, source: string): string {
  const input = `.intel_syntax noprefix\n.code${bits}\n${source}\n`;
  execFileSync("as", [bits === 16 ? "--32" : "--64", "-o", object, "-"], {
    input,
    stdio: ["pipe", "inherit", "inherit"],
  });
  execFileSync("objcopy", ["-O", "binary", "-j", ".text", object, image]);
  return readFileSync(image).toString("hex");
}

try {
  const recorded = Object.entries(SAMPLES).map(([bits, samples]) => [
    bits,
    Object.fromEntries(samples.map(([source]) => [source, assemble(Number(bits), source)])),
  ]);
  writeFileSync(recording, `${JSON.stringify(Object.fromEntries(recorded), null, 1)}\n`);
} finally {
  rmSync(directory, { recursive: true });
}
