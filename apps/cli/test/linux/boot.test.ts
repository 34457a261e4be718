// An unmodified Debian kernel, fetched with apt, boots on machine pseries and uses a passed-through disk.
// Where apt or the network is missing the tests are skipped and say why.
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { diskPattern, READ_PATTERN, WRITE_PATTERN } from "@minivmm/vmm/guests";
import { beforeAll, describe, expect, it, type TestContext } from "vitest";
import { linuxGuest, TRANSFER_BYTES } from "../../src/demo/guests.ts";
import { ImageCache } from "../../src/image/cache.ts";
import { cli, temporaryFolder } from "../helpers.ts";

declare module "vitest" {
  interface TaskMeta {
    /** Why a test was skipped; the workspace's test command prints it. */
    reason?: string;
  }
}

const NAME = "debian-ppc64el";
const cache = new ImageCache(undefined, process.env);
let missing: string | undefined;

beforeAll(async () => {
  const { status, stderr } = await cli(["image", "pull", NAME], process.env);
  if (status !== 0) missing = stderr.slice(stderr.indexOf("minivmm:")).split("\n")[0] ?? "the image cannot be fetched";
}, 600_000);

/** The image, or the end of the test with the reason. */
function image({ task, skip }: TestContext) {
  const found = cache.find(NAME);
  if (found !== undefined) return found;
  const reason = missing ?? "the image cannot be fetched";
  task.meta.reason = reason;
  console.log(`skipped: ${task.name}: ${reason}`);
  return skip(reason);
}

describe("cli linux: Debian's kernel", () => {
  it("passes the demonstration", async (context) => {
    image(context);
    const { status, stdout } = await cli(["demo"], process.env);
    expect(stdout).toContain("│ minivmm-init: PASS");
    expect(stdout).toContain("the host finds what the guest wrote");
    expect(stdout).toMatch(/init started .* instructions/);
    expect(status).toBe(0);
  });

  it("boots from the command line with QEMU's options, its disk an image file", async (context) => {
    const found = image(context);
    const folder = temporaryFolder();
    const [disk, initrd] = [join(folder, "disk.img"), join(folder, "initrd")];
    const { initrd: archive, append } = await linuxGuest(found);
    writeFileSync(initrd, archive ?? new Uint8Array());
    writeFileSync(disk, diskPattern(TRANSFER_BYTES, READ_PATTERN));
    truncateSync(disk, 64 << 20);
    const { status, stdout } = await cli([
      ...["run", "-M", "pseries", "-m", "512", "-smp", "1", "-nographic", "-no-reboot"],
      ...["-kernel", join(found.folder, found.kernel), "-initrd", initrd, "-append", append],
      ...["-device", "vfio,host=0001:01:00.0", "-host", `model:power9,disk=${disk}`],
    ]);
    expect(stdout).toMatch(/Linux version \d+\./);
    expect(stdout).toContain("minivmm-init: PASS");
    expect(status).toBe(0);
    const written = readFileSync(disk).subarray(TRANSFER_BYTES, 2 * TRANSFER_BYTES);
    expect(Buffer.compare(written, diskPattern(TRANSFER_BYTES, WRITE_PATTERN))).toBe(0);
  });

  it("uses virtual SCSI disks, one on an adapter of its own and one on an adapter that was not asked for", async (context) => {
    const found = image(context);
    const folder = temporaryFolder();
    const initrd = join(folder, "initrd");
    const disks = ["a.img", "b.img"].map((name) => join(folder, name));
    const guest = { modules: ["sd_mod", "ibmvscsi"], devices: ["/dev/sda", "/dev/sdb"] };
    const { initrd: archive, append } = await linuxGuest(found, guest);
    writeFileSync(initrd, archive ?? new Uint8Array());
    for (const disk of disks) {
      writeFileSync(disk, diskPattern(TRANSFER_BYTES, READ_PATTERN));
      truncateSync(disk, 16 << 20);
    }
    const { status, stdout } = await cli([
      ...["run", "-M", "pseries", "-m", "512", "-nographic", "-no-reboot", "-host", "model:power9"],
      ...["-kernel", join(found.folder, found.kernel), "-initrd", initrd, "-append", append],
      ...["-drive", `file=${disks[0]},if=scsi`, "-drive", `file=${disks[1]},if=none,id=d1`],
      ...["-device", "spapr-vscsi,id=S,reg=0x71000003", "-device", "scsi-hd,drive=d1,bus=S.0"],
    ]);
    expect(stdout).toContain("ibmvscsi 71000001: SRP_LOGIN succeeded");
    expect(stdout).toContain("ibmvscsi 71000003: SRP_LOGIN succeeded");
    expect(stdout).toContain("minivmm-init: PASS");
    expect(status).toBe(0);
    for (const disk of disks) {
      const written = readFileSync(disk).subarray(TRANSFER_BYTES, 2 * TRANSFER_BYTES);
      expect(Buffer.compare(written, diskPattern(TRANSFER_BYTES, WRITE_PATTERN))).toBe(0);
    }
  });
});
