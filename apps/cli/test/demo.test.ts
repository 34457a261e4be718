// The demonstration: its pieces, and the whole of it with the built-in guest where no kernel can be fetched.
import { diskPattern, WRITE_PATTERN } from "@minivmm/vmm/guests";
import { describe, expect, it } from "vitest";
import { GutterConsole } from "../src/demo/console.ts";
import { checkDemoDisk, demoDisk } from "../src/demo/disk.ts";
import { TRANSFER_BYTES } from "../src/demo/guests.ts";
import { styleFor } from "../src/render/style.ts";
import { Capture, cli, temporaryFolder } from "./helpers.ts";

describe("cli demo: disk", () => {
  it("is right only when the guest's pattern is in its place and all else untouched", () => {
    const disk = demoDisk();
    expect(checkDemoDisk(disk)).toMatch(`byte ${TRANSFER_BYTES} of the disk is 0`);
    disk.set(diskPattern(TRANSFER_BYTES, WRITE_PATTERN), TRANSFER_BYTES);
    expect(checkDemoDisk(disk)).toBeUndefined();
    disk[disk.length - 1] = 1;
    expect(checkDemoDisk(disk)).toBe(`byte ${disk.length - 1} of the disk is 1, not 0`);
  });
});

describe("cli demo: console", () => {
  it("puts each line of the guest behind a gutter and keeps it, without control characters", () => {
    const stream = new Capture();
    const console = new GutterConsole(stream, styleFor(stream, {}));
    for (const piece of ["he", "llo\r\n\x1b[2Jx\n\nend"]) console.write(new TextEncoder().encode(piece));
    console.finish();
    console.finish();
    expect(stream.text).toBe("  │ hello\n  │ [2Jx\n  │\n  │ end\n");
    expect(console.lines).toEqual(["hello", "[2Jx", "", "end"]);
  });
});

describe("cli demo: the whole", () => {
  it("falls back to the built-in guest where there is no apt, says so, and passes", async () => {
    const { status, stdout } = await cli(["demo", "--cache", temporaryFolder()], { PATH: "/nonexistent" });
    expect(stdout).toContain("minivmm: cannot start apt-get");
    expect(stdout).toContain("No Linux kernel can be had here; the built-in guest program takes the same path.");
    expect(stdout).toMatch(
      /│ minivmm-bare: PASS\n\n {2}ok {2}the guest switched itself off\n {2}ok .*\n {2}ok {2}the host finds/,
    );
    expect(stdout).toMatch(/\n\npassed in [\d.]+ m?s\n$/);
    expect(stdout).not.toContain("\x1b");
    expect(status).toBe(0);
  });

  it("passes in the modelled host's KVM, and shows which stage answered", async () => {
    const { status, stdout } = await cli(["demo", "--builtin", "--enable-kvm"]);
    expect(stdout).toContain("POWER9 in KVM");
    expect(stdout).toContain("│ minivmm-bare: PASS");
    expect(stdout).toMatch(/TCE hypercalls\n +real mode {2}virtual mode {2}user space\n/);
    expect(status).toBe(0);
  });
});
