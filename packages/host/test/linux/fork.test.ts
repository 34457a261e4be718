import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { EBADF, EFAULT, ESPIPE } from "../../src/index.ts";

const PROGRAM = fileURLToPath(new URL("../support/forked.mjs", import.meta.url));

describe("host on Linux: forking", () => {
  test("host fork: children go on with the program, die alone, and leave what they should", () => {
    const { stdout, stderr, status } = spawnSync(process.execPath, ["--single-threaded", PROGRAM], {
      encoding: "utf8",
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual({
      lived: 40,
      threw: { threw: expect.stringContaining("RangeError: no") },
      copy: { value: "0" },
      own: 7,
      signal: { signal: 11 },
      early: null,
      killed: { signal: 9 },
      next: 0,
      closed: { value: -EBADF },
      kept: 0,
      read: [0, 7, -EFAULT],
      write: [0, 5, -EFAULT],
      kinds: ["private", null],
      fault: [-EFAULT, -EFAULT],
      pipe: -ESPIPE,
      dropped: { value: 0 },
      reaped: true,
    });
  });

  test("host fork: refused where node has helper threads", () => {
    const program = 'import("@minivmm/host/real").then(({ forkProcess }) => forkProcess(() => 1))';
    const { stderr } = spawnSync(process.execPath, ["-e", program], {
      encoding: "utf8",
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
    });
    expect(stderr).toMatch(/FORK_UNSUPPORTED/);
  });
});
